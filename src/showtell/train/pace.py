"""How long a run will take, said once, from the first steps of this process."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from showtell.progress import duration
from showtell.settings import TrainSettings

STEPS = 20
"""The median of so many is taken: the first are slower, and sentences without photos are quicker."""


class Pace:
    def __init__(self, settings: TrainSettings, epoch: int, say: Callable[[str], None]) -> None:
        """`epoch`: the one that this process begins with."""
        self.seconds: list[float] = []
        self.say = say
        later = settings.unfreeze_encoder_at_epoch
        changes = [(later, "the encoder is trained as well")] if settings.trainable_encoder_stages > 0 else []
        if (critical := settings.self_critical.start_epoch) is not None:
            changes.append((critical, "captions are sampled"))
        slower = [f", more from epoch {at + 1} on, when {what}" for at, what in changes if epoch < at < settings.epochs]
        self.slower = "".join(slower)

    def add(self, seconds: float, step: int, total: int) -> None:
        """A step took so long; `step` of `total` are done."""
        if len(self.seconds) == STEPS:
            return
        self.seconds.append(seconds)
        if len(self.seconds) == STEPS:
            left = duration((total - step) * statistics.median(self.seconds))
            self.say(f"{total - step} steps are left: about {left} at this speed{self.slower}; and the validation")
