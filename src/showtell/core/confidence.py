"""How sure a caption is: its score as a probability.

A bundle that has been calibrated (`showtell calibrate`) has for each language a curve from the score to the probability
that the caption is right; `metrics/rightness` says what right is. Without one, confidence is exp(score), the geometric
mean of the words' probabilities: it ranks captions, and means nothing else.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Calibration(BaseModel):
    """A logistic curve: `1 / (1 + exp(-(slope * score + intercept)))`. It never falls, so that a
    better score is never less sure. `metrics/calibration` says why this curve."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    slope: Annotated[Finite, Field(ge=0)]
    intercept: Finite


def confidence(score: float, calibration: Calibration | None) -> float:
    """From 0 to 1, for a mean log-probability per word."""
    if calibration is None:
        return math.exp(score)
    log_odds = calibration.slope * score + calibration.intercept
    # exp of a positive number could overflow.
    return 1 / (1 + math.exp(-log_odds)) if log_odds > 0 else math.exp(log_odds) / (1 + math.exp(log_odds))
