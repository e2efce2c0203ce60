"""Learning rates over a run."""

from __future__ import annotations

import math

from showtell.settings import TrainSettings


def learning_factor(settings: TrainSettings, step: int, steps_per_epoch: int, epoch: int, drops: int) -> float:
    """The factor on every learning rate at a step: linear up to 1 over the warm-up, then what `schedule` says.

    `epoch` counts from 0, `drops` how often a plateau was met (`meets_plateau`).
    """
    total = steps_per_epoch * settings.epochs
    rising = max(1, round(settings.warmup * total))
    if step < rising:
        return (step + 1) / rising
    if settings.schedule == "cosine":  # Loshchilov & Hutter 2017, one period, to 0
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
    if settings.schedule == "exponential":
        return float(settings.decay**epoch)
    return float(settings.decay**drops) if settings.schedule == "plateau" else 1.0


def meets_plateau(settings: TrainSettings, epochs: int, without_gain: int) -> bool:
    """Whether the learning rate falls after `epochs` epochs, the last `without_gain` of which brought nothing."""
    if settings.schedule != "plateau" or epochs < settings.plateau_from or not without_gain:
        return False
    return without_gain % settings.patience == 0


def teacher_forcing(settings: TrainSettings, step: int, steps_per_epoch: int) -> float:
    """The chance that the network reads the true word: from `teacher_forcing` linearly to `teacher_forcing_end`."""
    if settings.teacher_forcing_end is None:
        return settings.teacher_forcing
    done = step / max(1, steps_per_epoch * settings.epochs - 1)
    return settings.teacher_forcing + (settings.teacher_forcing_end - settings.teacher_forcing) * done
