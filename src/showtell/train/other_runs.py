"""What a run needs of the finished runs that it goes on from or learns from, checked before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from showtell.errors import BadConfig
from showtell.settings import GIVEN, Recipe, TransformerSettings, longest
from showtell.train.run_folder import RunFolder


def check_other_runs(recipe: Recipe) -> None:
    """`recipe` is settled. Raises BadConfig for a run that is not there, not finished, or does not fit."""
    if (first := recipe.train.start_from) is not None:
        other = _finished(first, "train.start_from")
        _check_equal(first, "model", _network(other), _network(recipe))
        _check_equal(first, "text.languages", other.text.languages, recipe.text.languages)
        _check_equal(first, "train.encoder_stages", other.train.encoder_stages, recipe.train.encoder_stages)
        if isinstance(recipe.model.decoder, TransformerSettings):
            _check_equal(first, "the greatest of text.max_words and decode.max_length", longest(other), longest(recipe))
    for path in recipe.train.distillation.teachers:
        teacher = _finished(path, "train.distillation.teachers")
        if (teacher.model.encoder.name == GIVEN) != (recipe.model.encoder.name == GIVEN):
            raise BadConfig(
                f"{path} and this run do not both look at photos; expected both to, or both to read the same features"
            )
        if isinstance(teacher.model.decoder, TransformerSettings) and longest(teacher) < recipe.text.max_words:
            raise BadConfig(
                f"{path} reads at most {longest(teacher)} words, this run text.max_words={recipe.text.max_words}; "
                "expected no more than its teacher"
            )


def _finished(path: Path, setting: str) -> Recipe:
    run = RunFolder(path)
    recipe = run.recipe()
    if not run.finished(recipe):
        raise BadConfig(
            f"{setting}: {path} is not finished; expected a run that is, for its best model may still change"
        )
    return recipe


def _network(recipe: Recipe) -> dict[str, Any]:
    return recipe.model.model_dump(mode="json", exclude={"encoder": {"weights"}})


def _check_equal(path: Path, name: str, found: Any, expected: Any) -> None:
    if found != expected:
        if isinstance(found, dict):
            name = next(
                f"{name}.{part}.{key}"
                for part in found
                for key in {**found[part], **expected[part]}
                if found[part].get(key) != expected[part].get(key)
            )
            *_, part, key = name.split(".")
            found, expected = found[part].get(key), expected[part].get(key)
        raise BadConfig(f"train.start_from: {name} is {found!r} in {path}, {expected!r} here; expected the same")
