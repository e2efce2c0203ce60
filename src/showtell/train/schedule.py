"""Schedules over a run: the learning rate and the teacher-forcing probability."""

from __future__ import annotations

import math

from showtell.settings import TrainSettings


def learning_factor(settings: TrainSettings, step: int, total: int, epoch: int, drops: int) -> float:
    """The factor on every learning rate at one of `total` steps: linear warm-up to 1, then `train.schedule`.

    `epoch` counts from 0, `drops` the plateaus so far (`meets_plateau`).
    """
    warmup_steps = max(1, round(settings.warmup_ratio * total))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if settings.schedule == "cosine":  # Loshchilov & Hutter 2017, one period, to 0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, total - warmup_steps)))
    if settings.schedule == "exponential":
        return float(settings.lr_factor**epoch)
    return float(settings.lr_factor**drops) if settings.schedule == "plateau" else 1.0


def meets_plateau(settings: TrainSettings, epochs: int, without_improvement: int) -> bool:
    """Whether the learning rate falls after `epochs` epochs, the last `without_improvement` of which were no best."""
    if settings.schedule != "plateau" or epochs < settings.plateau_start_epoch or not without_improvement:
        return False
    return without_improvement % settings.plateau_patience == 0


def teacher_forcing(settings: TrainSettings, step: int, total: int) -> float:
    """The probability that a reference token is the input at one of `total` steps: from `teacher_forcing` linearly to
    `teacher_forcing_end`."""
    if settings.teacher_forcing_end is None:
        return settings.teacher_forcing
    fraction = step / max(1, total - 1)
    return settings.teacher_forcing + (settings.teacher_forcing_end - settings.teacher_forcing) * fraction
