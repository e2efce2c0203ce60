"""From a run folder to a bundle, with a parity check of ONNX against torch."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from showtell import __version__
from showtell.config import apply_overrides, parse_recipe, read_recipe
from showtell.core.bundle import check_destination, write_bundle
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.tokenizer import Tokenizer
from showtell.errors import BadConfig
from showtell.export.card import model_card
from showtell.export.graphs import export_graphs, round_to_half
from showtell.export.parity import Parity, compare
from showtell.export.samples import sample_pixels
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import PRECOMPUTED, DecodeSettings, Recipe, max_positions
from showtell.train.best_model import load_best
from showtell.train.run_folder import RunFolder


def load_run(run: RunFolder) -> tuple[CaptioningModel, Tokenizer, Recipe]:
    """The best model of a run, its weights rounded to half precision as in the bundle."""
    model, tokenizer, recipe = load_best(run)
    round_to_half(model)
    return model, tokenizer, recipe


def export_run(run_path: Path, bundle: Path, card: Path | None = None, changes: Sequence[str] = ()) -> Parity:
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
    pixels = model.encoder.pixels
    with tempfile.TemporaryDirectory() as name:
        parts = Path(name)
        export_graphs(model, pixels.size, parts)
        tokenizer.save(parts / "tokenizer.json")
        parity = compare(
            model,
            OnnxStepper(parts / "encoder.onnx", parts / "decoder.onnx"),
            sample_pixels(pixels),
            tokenizer,
            recipe,
        )
        (parts / "README.md").write_text(_card(card, run.recipe(), run, str(parity)), encoding="utf-8")
        manifest = {
            "showtell": __version__,
            "languages": recipe.text.languages,
            "vocab_size": tokenizer.vocab_size,
            "max_length": max_positions(run.recipe()),
            "grid": model.encoder.grid,
            "pixels": pixels,
            "decode": recipe.decode,
            # Without the path of the weights, which is meaningless on another machine.
            "model": recipe.model.model_dump(mode="json", exclude={"encoder": {"weights"}}),
        }
        write_bundle(bundle, manifest, parts)
    return parity


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


def _card(file: Path | None, recipe: Recipe, run: RunFolder, parity: str) -> str:
    if file is None:
        return model_card(recipe, json.loads(run.best_scores.read_text(encoding="utf-8")), parity)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"--card {file}: cannot be read ({error}); expected a Markdown file") from error
