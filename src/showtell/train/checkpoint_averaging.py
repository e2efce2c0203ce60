"""Checkpoint averaging: the mean of the weights of a run's best epochs.

A run's good epochs lie in one basin of the loss, and their mean is often better than each of them (Izmailov et al.
2018, stochastic weight averaging; Wortsman et al. 2022, model soups). It costs nothing at inference.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from showtell.errors import BadConfig
from showtell.train.checked_file import Damaged
from showtell.train.state import load_saved_weights, save_weights


class BestCheckpoints:
    """The weights of the best `count` epochs so far, in files beside the best model. There is no other state, so a run
    can resume. Raises BadConfig for a damaged one of these files."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count

    def add(self, model: nn.Module, epoch: int, score: float) -> None:
        """Keep this epoch if it is among the best: higher `score` first, then the earlier epoch."""
        scores = {**self._scores(), epoch: score}
        best = sorted(scores, key=lambda e: (-scores[e], e))[: self.count]
        if epoch in best:
            save_weights(self._file(epoch), model, {"epoch": epoch, "score": score})
        for old in scores.keys() - set(best) - {epoch}:
            self._file(old).unlink()

    def epochs(self) -> list[int]:
        return sorted(self._scores())

    def mean(self) -> dict[str, Tensor]:
        """The mean of the weights; integer tensors, which count steps, are those of the last epoch."""
        return _mean([_load(self._file(epoch)) for epoch in self.epochs()])

    def remove(self) -> None:
        for epoch in self.epochs():
            self._file(epoch).unlink()

    def _file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch}.safetensors"

    def _scores(self) -> dict[int, float]:
        scores = {}
        for file in self.folder.glob("epoch-*.safetensors"):
            try:
                with safe_open(str(file), "pt") as opened:
                    about = json.loads(opened.metadata()["about"])
                scores[int(about["epoch"])] = float(about["score"])
            except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
                raise _damaged(file, error) from error
        return scores


def _load(file: Path) -> dict[str, Tensor]:
    try:
        return load_saved_weights(file)
    except Damaged as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> BadConfig:
    reason = " ".join(str(error).split())
    return BadConfig(f"{file}: damaged ({reason}); remove it, and the mean is that of the other epochs")


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    last = states[-1]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in last.items()
    }
