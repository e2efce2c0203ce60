"""Learning rates over a run."""

from __future__ import annotations

import math


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """The factor on every learning rate at a step: linear up to 1 over `warmup * total` steps, then half a cosine to 0
    (Loshchilov & Hutter 2017, one period)."""
    rising = max(1, round(warmup * total))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
