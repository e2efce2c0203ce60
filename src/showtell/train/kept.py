"""Averaging of checkpoints: the mean of the weights of a run's best epochs.

One run's good epochs lie in one valley, and their mean is often better than each (Izmailov et al. 2018, stochastic
weight averaging; Wortsman et al. 2022, model soups). It costs nothing when captions are written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from showtell.train.state import save_weights


class KeptEpochs:
    """The weights of the best `count` epochs so far, in files beside the best model's; all they are is in the files,
    so that a run resumes."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count

    def add(self, model: nn.Module, epoch: int, value: float) -> None:
        """Keep this epoch if it is among the best; the larger `value`, the better, and the earlier, of equals."""
        values = {**self._values(), epoch: value}
        best = sorted(values, key=lambda e: (-values[e], e))[: self.count]
        if epoch in best:
            save_weights(self._file(epoch), model, {"epoch": epoch, "value": value})
        for old in values.keys() - set(best) - {epoch}:
            self._file(old).unlink()

    def epochs(self) -> list[int]:
        return sorted(self._values())

    def mean(self) -> dict[str, Tensor]:
        """The mean of all that is kept; whole numbers, which count steps, are those of the last epoch."""
        return _mean([load_file(str(self._file(epoch))) for epoch in self.epochs()])

    def remove(self) -> None:
        for epoch in self.epochs():
            self._file(epoch).unlink()

    def _file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch}.safetensors"

    def _values(self) -> dict[int, float]:
        found = {}
        for file in self.folder.glob("epoch-*.safetensors"):
            with safe_open(str(file), "pt") as opened:
                about = json.loads(opened.metadata()["about"])
            found[int(about["epoch"])] = float(about["value"])
        return found


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    last = states[-1]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in last.items()
    }
