"""Model selection: which epoch is the best, when the learning rate falls, and when training stops early."""

from __future__ import annotations

from typing import Any

from showtell.errors import BadConfig
from showtell.progress import ProgressReporter
from showtell.settings import TrainSettings
from showtell.train.schedule import meets_plateau
from showtell.train.state import TrainProgress


class ModelSelection:
    """Compares epochs by `train.monitor`, a score on the dev split; its state is the run's `TrainProgress`."""

    def __init__(self, settings: TrainSettings, reporter: ProgressReporter) -> None:
        self.settings, self.reporter = settings, reporter

    def monitored(self, scores: dict[str, Any]) -> float:
        """The score that is compared, higher is better. Raises BadConfig when dev has no such score."""
        monitor = self.settings.monitor
        if monitor not in scores:
            names = ", ".join(name for name, value in scores.items() if isinstance(value, float))
            raise BadConfig(f"train.monitor: dev has no {monitor}; expected one of: {names}")
        return float(-scores["loss"] if monitor == "loss" else scores[monitor])

    def is_best(self, scores: dict[str, Any], progress: TrainProgress) -> bool:
        return progress.best_score is None or self.monitored(scores) > progress.best_score

    def update(self, scores: dict[str, Any], progress: TrainProgress) -> bool:
        """Record the scores of the epoch that has just ended. Returns whether it is the best so far. After an epoch
        without improvement, a learning rate drop may be counted in `progress`, or `stopped` set."""
        epochs = progress.epoch + 1
        if self.is_best(scores, progress):
            progress.best_score, progress.best_epoch = self.monitored(scores), epochs
            return True
        without_improvement = epochs - progress.best_epoch
        if meets_plateau(self.settings, epochs, without_improvement):
            progress.drops += 1
            self.reporter.say(f"no improvement in {without_improvement} epochs: lr x {self.settings.lr_factor}")
        patience = self.settings.early_stopping_patience
        if patience is not None and without_improvement >= patience:
            progress.stopped = True
            self.reporter.say(f"no improvement in {without_improvement} epochs: stopped")
        return False
