"""The models that are damaged: a bundle of an imported model, the built-in one, and a run of training.

Each is made once in a folder, copied for a case, damaged in one file and loaded. What it loaded to is compared with
what the undamaged one loads to: taken silently is the worst that can happen.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests import tiny_bundle
from tests.export.tiny_runs import make_run

from showtell.core.bundle import CHECKED, EXTERNAL, MANIFEST, READ, builtin, load_bundle, write_bundle
from showtell.core.captioner import Captioner
from showtell.errors import ShowtellError
from showtell.train.best_model import load_best
from showtell.train.run_folder import RunFolder
from showtell.train.state import TrainProgress, load_state, save_state

PHOTO = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
PROGRESS = TrainProgress(epoch=2, batch=7, step=345, best_score=-0.8125, best_epoch=1, drops=3, seconds=12.5)


@dataclass(frozen=True)
class Subject:
    """A folder of files, and what reads them."""

    make: Callable[[Path], object]
    files: tuple[str, ...]
    """Below the folder; those that are damaged."""
    load: Callable[[Path], object]
    """Raises ShowtellError for a damaged one; else gives something that is equal only for equal content."""


def _make_imported(folder: Path) -> None:
    tiny_bundle.write(folder, folder.with_name(f"{folder.name}-parts"))


def _make_builtin(folder: Path) -> None:
    """As export writes it now, with all checksums."""
    bundle = load_bundle(builtin())
    write_bundle(folder, bundle.manifest.model_dump(exclude={"files"}), builtin())


def _make_run(folder: Path) -> None:
    run = make_run(folder, "attention")
    model, _, _ = load_best(run)
    optimizer = _optimizer(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()  # which gives it entries to save
    save_state(run.state, PROGRESS, model, optimizer, None, {})


def _optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def load_captioner(folder: Path) -> object:
    """Loaded as far as a caption."""
    captioner = Captioner.load(folder, threads=1)
    return captioner.bundle.manifest, captioner.bundle.fingerprint, captioner.caption(PHOTO).text


def _load_builtin(folder: Path) -> object:
    """Checked as `Captioner.load` does it first; its networks would take seconds for each case."""
    bundle = load_bundle(folder)
    return bundle.manifest, bundle.fingerprint


def load_run_best(folder: Path) -> object:
    model, tokenizer, recipe = load_best(RunFolder(folder))
    return _digest(model), tokenizer.vocab_size, recipe


def load_run_state(folder: Path) -> object:
    """Into a model that is not the saved one."""
    run = RunFolder(folder)
    model, _, _ = load_best(run)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    optimizer = _optimizer(model)
    progress = load_state(run.state, model, optimizer, None), run.progress()
    entries = [_digest_of(entry) for entry in optimizer.state_dict()["state"].values()]
    return progress, _digest(model), entries, hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest()


def _digest(model: torch.nn.Module) -> str:
    return _digest_of(model.state_dict())


def _digest_of(tensors: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + torch.as_tensor(tensors[name]).contiguous().numpy().tobytes())
    return digest.hexdigest()


_BUILTIN_FILES = tuple(name for name in READ if (builtin() / name).exists())

SUBJECTS = {
    "bundle of an imported model": Subject(_make_imported, (MANIFEST, *CHECKED, EXTERNAL[0]), load_captioner),
    "built-in model": Subject(_make_builtin, (MANIFEST, *_BUILTIN_FILES), _load_builtin),
    "state of a run": Subject(_make_run, ("last/state.safetensors",), load_run_state),
    "best model of a run": Subject(_make_run, ("best/model.safetensors",), load_run_best),
}


class Originals:
    """The undamaged ones, made when first needed, and what they load to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, object] = {}

    def folder(self, name: str) -> Path:
        path = self._folder / name.replace(" ", "-")
        if name not in self._loaded:
            SUBJECTS[name].make(path)
            self._loaded[name] = SUBJECTS[name].load(path)
        return path

    def loaded(self, name: str) -> object:
        self.folder(name)
        return self._loaded[name]

    def copy(self, name: str, target: Path) -> Path:
        """With links to the files, so that 60 MB need not be copied: a damaged file is written anew."""
        shutil.copytree(self.folder(name), target, copy_function=_link)
        return target


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def replace(file: Path, data: bytes) -> None:
    """Other content, in a file of its own."""
    file.unlink(missing_ok=True)
    file.write_bytes(data)


def outcome(load: Callable[[], object], original: object) -> str:
    """`refused`, `the same`, or what went wrong."""
    try:
        loaded = load()
    except ShowtellError as error:
        return "refused" if "\n" not in str(error) else f"refused in several lines: {error}"
    except Exception as error:  # noqa: BLE001 (any other is a finding)
        return f"raised {type(error).__name__}: {error}"
    return "the same" if loaded == original else "taken, with other content"
