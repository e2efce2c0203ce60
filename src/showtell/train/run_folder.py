"""The folder that `train` writes; docs/training.md lists its files."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from showtell import files
from showtell.config import dump_recipe, parse_recipe, read_recipe
from showtell.core.tokenizer import AnyTokenizer, load_tokenizer
from showtell.errors import BadConfig
from showtell.files import append_line, remove_leftovers, write_text
from showtell.locks import Locked, locked
from showtell.records import Sample
from showtell.settings import Recipe
from showtell.train.checked_file import damage
from showtell.train.data_record import changes, read_records, record_samples, write_records
from showtell.train.state import KEYS, TrainProgress, read_progress


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.data = path / "data.jsonl"
        self.log_file = path / "log.jsonl"
        self.tokenizer = path / "tokenizer.json"
        self.capitalized = path / "capitalized.json"
        self.state = path / "last" / "state.safetensors"
        self.previous_state = path / "last" / "state.previous.safetensors"
        self.best = path / "best" / "model.safetensors"
        self.best_scores = path / "best" / "scores.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in the folder, which is made. Raises BadConfig when one does."""
        self._make(self.path)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path / ".lock"))
            except Locked as error:
                raise BadConfig(
                    f"{self.path}: another process trains in it; wait until it ends, or give another folder"
                ) from error
            yield

    def open(self, recipe: Recipe) -> None:
        """Create the folder, or open one with the same recipe. Raises BadConfig when it has another recipe.

        A run without saved state (its first command may have had a wrong setting) is replaced.
        """
        self.check(recipe)
        if self.has_state():
            return
        for folder in (self.path, self.state.parent, self.best.parent):
            self._make(folder)
        # The captions may have been corrected since, too.
        self.tokenizer.unlink(missing_ok=True)
        self.capitalized.unlink(missing_ok=True)
        self.data.unlink(missing_ok=True)
        write_text(self.config, dump_recipe(recipe))

    @staticmethod
    def _make(folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadConfig(f"{folder}: cannot be made ({error.strerror}); give another folder") from error

    def check(self, recipe: Recipe) -> None:
        """Raises BadConfig when the folder has a run with another recipe; writes nothing."""
        if self.has_state() and (existing := self.recipe()) != _with_devices(recipe, existing.train.devices):
            raise BadConfig(
                f"{self.path} holds a run with other settings ({_difference(existing, recipe)}); give the same ones to "
                "resume, or another folder"
            )

    def check_data(self, samples: Sequence[Sample], is_finished: bool, allow_changes: bool = False) -> str | None:
        """Compare the data with those that the run began with; a new run records them.

        Returns a sentence for the user where the run goes on although the data have changed, or may have. Raises
        BadConfig, saying what has changed, unless `allow_changes`; BadData for a photo that cannot be read.
        """
        is_known = self.data.exists()
        before = read_records(self.data) if is_known else []
        now = record_samples(samples, before, self.recipe().train.text.files)
        changed = changes(before, now) if is_known else []
        if changed and not allow_changes:
            held, otherwise = "an unfinished run", "restore the data to resume, or add --allow-changed-data to go on"
            if is_finished:
                held, otherwise = "a finished run", "or export the model as it is"
            raise BadConfig(
                f"{self.path} holds {held} with other data: {'; '.join(changed)}; give another folder to train on the "
                f"data as they are now, {otherwise}"
            )
        if before != now and not (changed and is_finished):
            write_records(self.data, now)
        if changed:
            self.log(kind="data", changes=changed)
            return f"{self.path}: the data have changed: {'; '.join(changed)}"
        if not is_known and self.has_state():
            return (
                f"{self.path} has no record of its data, as an earlier version wrote it: they may have changed since; "
                "from now on changes are noticed"
            )
        return None

    def has_state(self) -> bool:
        """A process that is killed between the two renames of a save leaves only the previous state."""
        return self.state.exists() or self.previous_state.exists()

    def progress(self) -> TrainProgress:
        """The progress of the run; that of a new run if nothing is saved yet."""
        state = next((state for state in (self.state, self.previous_state) if state.exists()), None)
        return TrainProgress() if state is None else read_progress(state)

    def recover(self) -> str | None:
        """Put the previous state in the place of a damaged or missing one, and remove what killed processes were
        writing. For the holder of the lock, before anything is loaded.

        Returns a sentence for the user when it did. Raises BadConfig when there are states, and none is whole.
        """
        for folder in (self.path, self.state.parent, self.best.parent):
            remove_leftovers(folder)
        problem = _damage(self.state)
        if problem is None or not self.has_state():
            return None
        if (other := _damage(self.previous_state)) is not None:
            raise BadConfig(
                f"{self.state}: not a state of this run ({problem}), nor is {self.previous_state.name} ({other}); "
                "remove the folder to begin anew"
            )
        moved = ""
        if self.state.exists():
            damaged = self.state.with_name("state.damaged.safetensors")
            files.disk.rename(self.state, damaged)
            moved = f" (now {damaged.name})"
        files.disk.rename(self.previous_state, self.state)
        files.disk.sync_folder(self.state.parent)
        progress = self.progress()
        return (
            f"{self.state}: {problem}{moved}; going on from the state before it, epoch {progress.epoch + 1}, step "
            f"{progress.step}"
        )

    def finished(self, recipe: Recipe) -> bool:
        progress = self.progress()
        return progress.stopped or progress.epoch >= recipe.train.epochs

    def recipe(self) -> Recipe:
        if not self.config.exists():
            raise BadConfig(f"{self.path}: no run folder (no config.yaml); `showtell train` makes one")
        outdated = "; an earlier version wrote this run: train it again"
        return parse_recipe(read_recipe(self.config), str(self.config), outdated)

    def load_tokenizer(self) -> AnyTokenizer:
        text = self.recipe().text
        return load_tokenizer(self.tokenizer, text.languages, text.imported)

    def log(self, **entry: Any) -> None:
        """One line of `log.jsonl`. Raises OutputError when the disk is full or fails."""
        append_line(self.log_file, json.dumps({"time": round(time.time(), 1), **entry}, ensure_ascii=False))


def _damage(state: Path) -> str | None:
    return damage(state, *KEYS) if state.exists() else "missing"


def _with_devices(recipe: Recipe, devices: int) -> Recipe:
    """The number of processes may change from one session of a run to the next."""
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"devices": devices})})


def _difference(existing: Recipe, new: Recipe) -> str:
    return settings_that_differ(existing.model_dump(mode="json"), new.model_dump(mode="json"))


def settings_that_differ(old: dict[str, Any], new: dict[str, Any], there: str = "there", here: str = "here") -> str:
    """One of them, with both of its values. `old`, `new`: recipes, as JSON, perhaps of different versions of showtell,
    one of which lacks a setting."""
    old_values, new_values = _flatten(old), _flatten(new)
    missing = _Missing()  # None is a value
    found = {key: (old_values.get(key, missing), new_values.get(key, missing)) for key in [*old_values, *new_values]}
    differing = [key for key, (old_value, new_value) in found.items() if old_value != new_value]
    if not differing:
        return "sections without a setting"
    key = next((key for key in differing if key.endswith(".kind")), differing[0])  # another kind explains the others
    return f"{key} is {found[key][0]!r} {there}, {found[key][1]!r} {here}"


class _Missing:
    def __repr__(self) -> str:
        return "missing"


def _flatten(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
