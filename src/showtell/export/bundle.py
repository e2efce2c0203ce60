"""From a run folder to a bundle, with the check that both say the same."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from showtell import __version__
from showtell.config import apply_overrides, parse_recipe, read_recipe
from showtell.core.bundle import check_destination, write_bundle
from showtell.core.decode import decode
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.stepper import Stepper
from showtell.core.text import Text
from showtell.errors import BadConfig, ExportMismatch
from showtell.export.card import model_card
from showtell.export.graphs import export_graphs, round_to_half
from showtell.export.samples import sample_pixels
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.settings import GIVEN, DecodeSettings, Recipe, TransformerSettings, longest
from showtell.train.best_model import load_best
from showtell.train.run_folder import RunFolder

TOLERANCE = 1e-4
"""Largest difference of a log-probability between torch and ONNX; float32 in another order differs by some 1e-5 at
most."""


@dataclass(frozen=True)
class Parity:
    """How torch and ONNX agree on sample images."""

    images: int
    same: int
    largest: float
    """Difference of a word's log-probability, over the captions that both write."""

    def __str__(self) -> str:
        return (
            f"torch and ONNX write the same on {self.same} of {self.images} sample images "
            f"(log-probabilities within {self.largest:.1e})"
        )


def load_run(run: RunFolder) -> tuple[CaptioningModel, Text, Recipe]:
    """The best model of a run, as the bundle will hold it (weights rounded to half precision)."""
    model, text, recipe = load_best(run)
    round_to_half(model)
    return model, text, recipe


def export_run(run_path: Path, bundle: Path, card: Path | None = None, changes: Sequence[str] = ()) -> Parity:
    """Write the bundle; `changes` are decode settings that differ from the run's, as `decode.beam=8`.

    Raises ExportMismatch, and writes nothing, when ONNX and torch disagree on sample images; BadConfig when there is
    nothing to export, and for changes of what training has settled.
    """
    check_destination(bundle)
    run = RunFolder(run_path)
    if run.recipe().model.encoder.name == GIVEN:
        raise BadConfig(
            f"{run_path}: trained on ready-made features, and nothing here can make those of a photo; make your own "
            "with `showtell data features`, or train on photos"
        )
    tuned = _tuned(run, changes)
    model, text, recipe = load_run(run)
    recipe = recipe.model_copy(update={"decode": tuned})
    pixels = model.encoder.pixels
    with tempfile.TemporaryDirectory() as name:
        parts = Path(name)
        export_graphs(model, pixels.size, parts)
        text.save(parts / "tokenizer.json")
        parity = compare(
            TorchStepper(model),
            OnnxStepper(parts / "encoder.onnx", parts / "decoder.onnx"),
            sample_pixels(pixels),
            text,
            recipe,
        )
        (parts / "README.md").write_text(_card(card, run.recipe(), run, str(parity)), encoding="utf-8")
        manifest = {
            "showtell": __version__,
            "languages": recipe.text.languages,
            "vocabulary": text.size,
            "longest": longest(run.recipe()) if isinstance(recipe.model.decoder, TransformerSettings) else None,
            "grid": model.encoder.grid,
            "pixels": pixels,
            "decode": recipe.decode,
            # Where the weights were read from is a path on one machine and means nothing to anybody else.
            "model": recipe.model.model_dump(mode="json", exclude={"encoder": {"weights"}}),
        }
        write_bundle(bundle, manifest, parts)
    return parity


def _tuned(run: RunFolder, changes: Sequence[str]) -> DecodeSettings:
    there = run.recipe()
    recipe = parse_recipe(apply_overrides(read_recipe(run.config), changes), str(run.config))
    if recipe.model_copy(update={"decode": there.decode}) != there:
        raise BadConfig(f"found {', '.join(changes)}; after training, only settings such as decode.beam=8 can change")
    if isinstance(there.model.decoder, TransformerSettings) and recipe.decode.max_length > longest(there):
        raise BadConfig(
            f"found decode.max_length={recipe.decode.max_length}; this model writes at most {longest(there)} words"
        )
    return recipe.decode


def compare(torch_stepper: Stepper, onnx_stepper: Stepper, pixels: np.ndarray, text: Text, recipe: Recipe) -> Parity:
    """Let both caption `pixels` [B, 3, H, W]. Raises ExportMismatch when they write differently."""
    images, same, largest = 0, 0, 0.0
    for language in recipe.text.languages:
        ours, theirs = (
            decode(stepper, stepper.encode(pixels), len(pixels), text, language, recipe.decode)
            for stepper in (torch_stepper, onnx_stepper)
        )
        for image, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            images += 1
            if not np.array_equal(a[0].words, b[0].words):
                if abs(a[0].score - b[0].score) <= TOLERANCE:
                    continue  # a near tie: either is right
                raise ExportMismatch(
                    f"sample image {image}: torch writes {text.decode(a[0].words)!r}, "
                    f"ONNX {text.decode(b[0].words)!r}; nothing was written; please report this with the recipe"
                )
            largest = max(largest, float(np.abs(a[0].log_probs - b[0].log_probs).max()))
            same += 1
    if largest > TOLERANCE:
        raise ExportMismatch(
            f"log-probabilities of torch and ONNX differ by {largest:.1e}; expected at most {TOLERANCE:.0e}; nothing "
            "was written; please report this with the recipe"
        )
    return Parity(images, same, largest)


def _card(file: Path | None, recipe: Recipe, run: RunFolder, parity: str) -> str:
    if file is None:
        return model_card(recipe, json.loads(run.best_scores.read_text(encoding="utf-8")), parity)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"--card {file}: cannot be read ({error}); expected a Markdown file") from error
