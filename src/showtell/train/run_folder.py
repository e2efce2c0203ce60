"""The folder that `train` writes: see DESIGN, section 4, for what is in it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from showtell.config import dump_recipe, parse_recipe, read_recipe
from showtell.core.text import Text
from showtell.errors import BadConfig
from showtell.files import write_text
from showtell.settings import Recipe
from showtell.train.state import Position, read_position


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.log_file = path / "log.jsonl"
        self.tokenizer = path / "tokenizer.json"
        self.state = path / "last" / "state.safetensors"
        self.best = path / "best" / "model.safetensors"
        self.best_scores = path / "best" / "scores.json"

    def open(self, recipe: Recipe) -> None:
        """Make the folder, or take up one that holds the same recipe. Raises BadConfig when it holds another.

        A run of which nothing is saved yet (its first command may have had a wrong setting) gives way to another
        recipe.
        """
        self.check(recipe)
        if self.state.exists():
            return
        for folder in (self.path, self.state.parent, self.best.parent):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BadConfig(f"{folder}: cannot be made ({error.strerror}); give another folder") from error
        # The captions may have been mended since, too.
        self.tokenizer.unlink(missing_ok=True)
        write_text(self.config, dump_recipe(recipe))

    def check(self, recipe: Recipe) -> None:
        """Raises BadConfig when a run with another recipe stands here; makes nothing."""
        if self.state.exists() and (there := self.recipe()) != recipe:
            raise BadConfig(
                f"{self.path} holds a run with other settings ({_difference(there, recipe)}); give the same ones to go "
                "on, or another folder"
            )

    def position(self) -> Position:
        """How far the run is; at the beginning, when nothing is saved yet."""
        return read_position(self.state) if self.state.exists() else Position()

    def finished(self, recipe: Recipe) -> bool:
        position = self.position()
        return position.stopped or position.epoch >= recipe.train.epochs

    def recipe(self) -> Recipe:
        if not self.config.exists():
            raise BadConfig(f"{self.path}: no run folder (no config.yaml); `showtell train` makes one")
        return parse_recipe(read_recipe(self.config), str(self.config))

    def text(self) -> Text:
        return Text.load(self.tokenizer, self.recipe().text.languages)

    def log(self, **entry: Any) -> None:
        """One line of `log.jsonl`."""
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": round(time.time(), 1), **entry}, ensure_ascii=False) + "\n")


def _difference(there: Recipe, here: Recipe) -> str:
    old, new = _flat(there.model_dump(mode="json")), _flat(here.model_dump(mode="json"))
    key = next(k for k in [*old, *new] if old.get(k) != new.get(k))
    return f"{key} is {old.get(key)!r} there, {new.get(key)!r} here"


def _flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
