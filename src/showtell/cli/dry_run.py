"""`showtell train --dry-run`"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from showtell.progress import ProgressReporter
    from showtell.records import Sample
    from showtell.settings import Recipe

WRITTEN = (
    "config.yaml, data.jsonl, tokenizer.json, log.jsonl, curves.png, predictions.dev.jsonl, tensorboard/, last/, best/"
)


def say_forecast(recipe: Recipe, folder: Path, samples: Sequence[Sample], reporter: ProgressReporter) -> None:
    """Measure and say what the run in `folder` will take. `recipe` is resolved."""
    from showtell.core.cache_folder import cache_folder
    from showtell.metrics import score
    from showtell.metrics.reward import CiderReward
    from showtell.progress import duration
    from showtell.train.out_of_memory import explain_out_of_memory
    from showtell.train.rehearsal import rehearse

    reporter.say("measuring a few steps of each kind")
    with explain_out_of_memory():
        forecast = rehearse(recipe, samples, score, CiderReward)
    validation, epochs = forecast.validation_seconds, recipe.train.epochs
    whole = forecast.features_seconds + forecast.training_seconds + validation
    cache = cache_folder()
    memory = "" if forecast.memory is None else f"; memory: {_size(forecast.memory)}"
    for line in (
        f"features: {duration(forecast.features_seconds)}, {_size(forecast.features_bytes)} in {cache} "
        f"({_size(_free(cache))} free); nothing, if they are there already",
        f"training: {epochs} epochs, {duration(forecast.training_seconds)}, and {duration(validation)} to validate "
        f"them{memory}",
        f"{folder}: at most {_size(forecast.run_folder_bytes)} ({_size(_free(folder))} free): {WRITTEN}",
        f"in all: {duration(whole)}, unless it stops early; next: the same command without --dry-run",
    ):
        reporter.say(line)


def _free(path: Path) -> int:
    """Bytes, on the disk that the folder is or will be on."""
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.1f} MB"
