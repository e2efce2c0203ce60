"""The checkpoints of a run: the last state, the best weights, and the weights of the best epochs."""

from __future__ import annotations

import json
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from showtell.files import write_text
from showtell.train.checkpoint_averaging import BestCheckpoints
from showtell.train.processes import Processes
from showtell.train.run_folder import RunFolder
from showtell.train.state import TrainProgress, load_state, save_state, save_weights


class Checkpoints:
    """Writes to a run folder; see `RunFolder` for its files."""

    def __init__(self, run: RunFolder, average_checkpoints: int, processes: Processes) -> None:
        self.run, self.processes = run, processes
        self.best_epochs = BestCheckpoints(run.best.parent, average_checkpoints)

    def resume(
        self, fabric: Fabric, model: nn.Module, optimizer: torch.optim.Optimizer, ema: nn.Module | None
    ) -> TrainProgress:
        """Load the last state, if there is one, into these modules. Returns the progress of the run. Raises BadConfig
        when the processes have not read the same state."""
        progress = TrainProgress()
        if self.run.state.exists():
            progress, scaler = load_state(self.run.state, model, optimizer, ema, self.processes.rank)
            if scaler:  # of a run that began on a CPU there is none
                fabric.strategy.precision.load_state_dict(scaler)
        self.processes.check_same([progress.epoch, progress.batch, progress.step], _explain_progress)
        return progress

    def save_last(
        self,
        fabric: Fabric,
        progress: TrainProgress,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        ema: nn.Module | None,
    ) -> None:
        """All processes call it, and the first one writes."""
        _, *others = self.processes.gather_tensor(torch.get_rng_state())
        others_cuda: list[torch.Tensor] = []
        if torch.cuda.is_available():
            _, *others_cuda = self.processes.gather_tensor(torch.cuda.get_rng_state())
        if self.processes.is_first:
            scaler = fabric.strategy.precision.state_dict()
            generators = others, others_cuda
            save_state(self.run.state, progress, model, optimizer, ema, scaler, self.run.previous_state, *generators)
        self.processes.wait()  # one that ended earlier would have the first one killed

    def save_best(self, model: nn.Module, predictions: list[dict[str, Any]], about: dict[str, Any]) -> None:
        """`about`: epoch, step and scores, which become `best/scores.json`."""
        if not self.processes.is_first:
            return
        save_weights(self.run.best, model, about)
        write_text(self.run.best_scores, json.dumps(about, indent=2))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in predictions)
        write_text(self.run.path / "predictions.dev.jsonl", lines)


def _explain_progress(first: list[int], other: list[int]) -> str:
    return (
        f"it goes on from step {other[2]}, the first one from step {first[2]}; expected one run folder for all "
        "machines: put it on a disk that they share, under the same path"
    )
