"""`showtell train --dry-run`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from showtell.disk_space import free_bytes, size_in_words

if TYPE_CHECKING:
    from showtell.progress import ProgressReporter
    from showtell.records import Sample
    from showtell.settings import Recipe
    from showtell.train.rehearsal import Forecast

WRITTEN = (
    "config.yaml, data.jsonl, tokenizer.json, log.jsonl, curves.png, predictions.dev.jsonl, tensorboard/, last/, best/"
)


def say_forecast(recipe: Recipe, folder: Path, samples: Sequence[Sample], reporter: ProgressReporter) -> None:
    """Measure and say what the run in `folder` will take. `recipe` is resolved."""
    from showtell.cache_folder import cache_folder
    from showtell.metrics import score
    from showtell.metrics.reward import CiderReward
    from showtell.train.out_of_memory import explain_out_of_memory
    from showtell.train.rehearsal import rehearse

    reporter.say("measuring a few steps of each kind")
    with explain_out_of_memory():
        forecast = rehearse(recipe, samples, score, CiderReward)
    for line in _lines(forecast, recipe, folder, cache_folder()):
        reporter.say(line)


def _lines(forecast: Forecast, recipe: Recipe, folder: Path, cache: Path) -> Iterator[str]:
    from showtell.progress import duration

    validation, epochs = forecast.validation_seconds, recipe.train.epochs
    if forecast.features_bytes:
        size, free = size_in_words(forecast.features_bytes), size_in_words(free_bytes(cache))
        yield (
            f"features: {duration(forecast.features_seconds)}, {size} in {cache} ({free} free); nothing, if they are "
            "there already"
        )
    memory = "" if forecast.memory is None else f"; memory: {size_in_words(forecast.memory)}"
    yield (
        f"training: {epochs} epochs, {duration(forecast.training_seconds)}, and {duration(validation)} to validate "
        f"them{memory}"
    )
    if recipe.train.devices > 1:
        yield f"measured in one process; {recipe.train.devices} share the steps, and each needs memory of its own"
    size, free = size_in_words(forecast.run_folder_bytes), size_in_words(free_bytes(folder))
    yield f"{folder}: at most {size} ({free} free): {WRITTEN}"
    whole = forecast.features_seconds + forecast.training_seconds + validation
    yield f"in all: {duration(whole)}, unless it stops early; next: the same command without --dry-run"
