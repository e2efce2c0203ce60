"""From a run folder to a bundle, with a parity check of ONNX against torch."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from showtell import __version__
from showtell.config import apply_overrides, parse_recipe, read_recipe
from showtell.core.bundle import check_destination, write_bundle
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.tokenizer import AnyTokenizer
from showtell.errors import BadConfig
from showtell.export.card import model_card
from showtell.export.graphs import export_graphs, round_to_half
from showtell.export.parity import Parity, compare
from showtell.export.precision_loss import PrecisionLoss, measure_loss
from showtell.export.quantize import quantize
from showtell.export.samples import sample_pixels
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import PRECOMPUTED, DecodeSettings, Recipe, max_positions
from showtell.train.best_model import load_best
from showtell.train.run_folder import RunFolder

Precision = Literal["half", "int8"]


@dataclass(frozen=True)
class Exported(Parity):
    """The agreement of torch and ONNX, and what eight bits lose where they were asked for."""

    int8: PrecisionLoss | None = None

    @property
    def parity(self) -> str:
        return super().__str__()

    def __str__(self) -> str:
        return self.parity if self.int8 is None else f"{self.parity}; {self.int8}"


def load_run(run: RunFolder) -> tuple[CaptioningModel, AnyTokenizer, Recipe]:
    """The best model of a run, its weights rounded to half precision as in the bundle."""
    model, tokenizer, recipe = load_best(run)
    round_to_half(model)
    return model, tokenizer, recipe


def export_run(
    run_path: Path,
    bundle: Path,
    card: Path | None = None,
    changes: Sequence[str] = (),
    precision: Precision = "half",
) -> Exported:
    """Write the bundle; `changes` are decode settings that differ from the run's, as `decode.beam_size=8`.

    Raises ExportMismatch, and writes nothing, when ONNX and torch disagree on sample images; BadConfig when there is
    nothing to export, and for changes of anything but decode settings.
    """
    check_destination(bundle)
    run = RunFolder(run_path)
    if run.recipe().model.encoder.name == PRECOMPUTED:
        raise BadConfig(
            f"{run_path}: trained on precomputed features, and no encoder can compute those of a photo; extract "
            "your own with `showtell data features`, or train on photos"
        )
    decode_settings = _decode_settings(run, changes)
    model, tokenizer, recipe = load_run(run)
    recipe = recipe.model_copy(update={"decode": decode_settings})
    with tempfile.TemporaryDirectory() as name:
        parts = Path(name)
        export_graphs(model, model.encoder.pixels.size, parts)
        tokenizer.save(parts / "tokenizer.json")
        stepper = OnnxStepper(parts / "encoder.onnx", parts / "decoder.onnx")
        exported = _check(model, stepper, tokenizer, decode_settings, parts, precision)
        (parts / "README.md").write_text(_card(card, run.recipe(), run, exported), encoding="utf-8")
        write_bundle(bundle, _manifest(model, stepper.vocab_size, recipe, exported, run), parts)
    return exported


def _check(
    model: CaptioningModel,
    stepper: OnnxStepper,
    tokenizer: AnyTokenizer,
    settings: DecodeSettings,
    parts: Path,
    precision: Precision,
) -> Exported:
    """Compare `stepper`, of the graphs in `parts`, with the model; turn them into eight-bit ones where asked to."""
    pixels = sample_pixels(model.encoder.pixels)
    parity = compare(model, stepper, pixels, tokenizer, settings)
    loss = None
    if precision == "int8":
        quantize(parts)
        reduced = OnnxStepper(parts / "encoder.onnx", parts / "decoder.onnx")
        loss = measure_loss(stepper, reduced, pixels, tokenizer, settings)
    return Exported(parity.images, parity.same, parity.largest, loss)


def _manifest(
    model: CaptioningModel, vocab_size: int, recipe: Recipe, exported: Exported, run: RunFolder
) -> dict[str, Any]:
    return {
        "showtell": __version__,
        "languages": recipe.text.languages,
        # The network's: that of an imported model may have more tokens than its tokenizer.
        "vocab_size": vocab_size,
        "max_length": max_positions(recipe),
        "grid": model.encoder.grid,
        "prefix_regions": model.encoder.prefix_regions,
        "pixels": model.encoder.pixels,
        "decode": recipe.decode,
        # Without the path of the weights, which is meaningless on another machine.
        "model": recipe.model.model_dump(
            mode="json", exclude={"encoder": {"weights": True, "companion": {"weights": True, "tags": {"nouns": True}}}}
        ),
        "capitalized": json.loads(run.capitalized.read_text(encoding="utf-8")) if run.capitalized.exists() else {},
        "imported_text": recipe.text.imported,
        "source": {} if exported.int8 is None else {"precision": "int8", "int8": exported.int8.as_dict()},
    }


def _decode_settings(run: RunFolder, changes: Sequence[str]) -> DecodeSettings:
    trained = run.recipe()
    recipe = parse_recipe(apply_overrides(read_recipe(run.config), changes), str(run.config))
    if recipe.model_copy(update={"decode": trained.decode}) != trained:
        raise BadConfig(
            f"found {', '.join(changes)}; after training, only settings such as decode.beam_size=8 can change"
        )
    limit = max_positions(trained)
    if limit is not None and recipe.decode.max_length > limit:
        raise BadConfig(f"found decode.max_length={recipe.decode.max_length}; this model writes at most {limit} tokens")
    return recipe.decode


def _card(file: Path | None, recipe: Recipe, run: RunFolder, exported: Exported) -> str:
    if file is None:
        best = json.loads(run.best_scores.read_text(encoding="utf-8"))
        return model_card(recipe, best, exported.parity, None if exported.int8 is None else str(exported.int8))
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"--card {file}: cannot be read ({error}); expected a Markdown file") from error
