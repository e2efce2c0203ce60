"""The full state of a run in one safetensors file: weights, optimiser, moving average, random generators, progress.

One file, so that it is of one moment: an interrupted save leaves the state before it intact.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from showtell.errors import BadConfig
from showtell.train.checked_file import Damaged, load_checked, save_checked
from showtell.train.lora import merged_state

KEYS: Final = ("progress", "scaler")
"""Of a state's metadata."""
WEIGHTS_KEYS: Final = ("about",)
"""Of the metadata of weights."""


@dataclass
class TrainProgress:
    """The progress of a run."""

    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    step: int = 0
    """Optimiser steps in all."""
    best_score: float | None = None
    """The highest monitored score so far; a loss counts negative."""
    best_epoch: int = 0
    """Counted from 1; 0: none yet."""
    drops: int = 0
    """Number of times the learning rate was reduced on a plateau."""
    stopped: bool = False
    """By early stopping."""
    seconds: float = 0.0
    """Training time so far, over all sessions of the run."""


def save_state(
    path: Path,
    progress: TrainProgress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: nn.Module | None,
    scaler: dict[str, Any],
    previous: Path | None = None,
    others: Sequence[Tensor] = (),
    others_cuda: Sequence[Tensor] = (),
) -> None:
    """`scaler`: the state of the loss scaler of half precision; empty in other precisions. `previous`: the name that
    the state at `path` gets, once the new one has been read back. `others`, `others_cuda`: the states of the random
    generators of the other processes. Raises OutputError when the disk is full or fails."""
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in model.state_dict().items()}
    if ema is not None:
        tensors |= {f"ema.{k}": v for k, v in ema.state_dict().items()}
    for index, entry in optimizer.state_dict()["state"].items():
        # SGD has an entry without a value for a parameter that it never updated.
        values = {name: value for name, value in entry.items() if value is not None}
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    tensors |= {f"random.cpu.{rank}": state for rank, state in enumerate(others, start=1)}
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
        tensors |= {f"random.cuda.{rank}": state for rank, state in enumerate(others_cuda, start=1)}
    save_checked(path, tensors, {"progress": json.dumps(asdict(progress)), "scaler": json.dumps(scaler)}, previous)


def load_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: nn.Module | None, rank: int = 0
) -> tuple[TrainProgress, dict[str, Any]]:
    """Restore everything, with the random generator of process `rank`; returns the run's progress and the scaler's
    state. Where the run had fewer processes, the generator stays as it is, but for the step that it begins with.

    Raises BadConfig when the file is no state of this run."""
    try:
        tensors, metadata = load_checked(path, *KEYS)
        progress = TrainProgress(**json.loads(metadata["progress"]))
        scaler: dict[str, Any] = json.loads(metadata["scaler"])
        model.load_state_dict(_with_prefix(tensors, "model."))
        if ema is not None:
            ema.load_state_dict(_with_prefix(tensors, "ema."))
        entries: dict[int, dict[str, Any]] = {}
        for key, tensor in _with_prefix(tensors, "optimizer.").items():
            index, name = key.split(".", 1)
            entries.setdefault(int(index), {})[name] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})
        _restore_generators(tensors, rank, progress.step)
    except (Damaged, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _bad_state(path, error) from error
    return progress, scaler


def _restore_generators(tensors: dict[str, Tensor], rank: int, step: int) -> None:
    suffix = "" if rank == 0 else f".{rank}"
    if (own := tensors.get(f"random.cpu{suffix}")) is not None or rank == 0:
        torch.set_rng_state(tensors["random.cpu"] if own is None else own)
    else:
        torch.manual_seed(torch.initial_seed() + step)
    if not torch.cuda.is_available():
        return
    if (own := tensors.get(f"random.cuda{suffix}")) is not None:
        torch.cuda.set_rng_state(own)
    elif rank > 0:
        torch.cuda.manual_seed(torch.initial_seed() + step)


def read_progress(path: Path) -> TrainProgress:
    """The run's progress, without reading a tensor. Raises BadConfig when the file is no state of a run."""
    try:
        with safe_open(str(path), "pt") as file:
            return TrainProgress(**json.loads(file.metadata()["progress"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _bad_state(path, error) from error


def load_encoder_state(path: Path, encoder: nn.Module) -> None:
    """The weights of the encoder alone. Raises BadConfig when the file is no state of this run."""
    prefix = "model.encoder."
    try:
        with safe_open(str(path), "pt") as file:
            names = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 (safe_open is no dict)
            encoder.load_state_dict({name.removeprefix(prefix): file.get_tensor(name) for name in names})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise _bad_state(path, error) from error


def save_weights(path: Path, model: nn.Module, about: dict[str, Any]) -> None:
    """Weights alone, adapters merged, with metadata on where they come from."""
    save_checked(path, merged_state(model), {"about": json.dumps(about)})


def load_saved_weights(path: Path) -> dict[str, Tensor]:
    """What `save_weights` wrote. Raises Damaged."""
    return load_checked(path, *WEIGHTS_KEYS)[0]


def _bad_state(path: Path, error: Exception) -> BadConfig:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return BadConfig(f"{path}: not a state of this run ({first}); remove the folder to begin anew")


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
