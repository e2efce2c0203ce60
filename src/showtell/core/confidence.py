"""Confidence: a caption's score as a probability.

A calibrated bundle (`showtell calibrate`) has for each language a curve from the score, or with a reranker from the
score and the expected CIDEr together, to the probability that the caption is correct (`metrics/correctness`). Without
a calibration, confidence is exp(score), the geometric mean of the tokens' probabilities: it ranks captions, but is no
probability of correctness.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Calibration(BaseModel):
    """A logistic curve (Platt scaling): `1 / (1 + exp(-(slope * evidence + intercept)))`. The slope is not negative, so
    that more evidence never has less confidence. `metrics/calibration` explains the choice of this curve."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    slope: Annotated[Finite, Field(ge=0)]
    intercept: Finite
    cider_weight: Annotated[Finite, Field(ge=0)] = 0.0
    """Of the expected CIDEr in the evidence."""


def evidence(score: float, expected_cider: float | None, cider_weight: float) -> float:
    """What speaks for a caption: its mean log-probability per word and, of a model with a reranker, its expected
    CIDEr."""
    return score if expected_cider is None else score + cider_weight * expected_cider


def confidence(score: float, calibration: Calibration | None, expected_cider: float | None = None) -> float:
    """From 0 to 1, for a mean log-probability per word."""
    if calibration is None or (calibration.cider_weight and expected_cider is None):
        return math.exp(score)
    known = evidence(score, expected_cider, calibration.cider_weight)
    log_odds = calibration.slope * known + calibration.intercept
    # exp of a positive number could overflow.
    return 1 / (1 + math.exp(-log_odds)) if log_odds > 0 else math.exp(log_odds) / (1 + math.exp(log_odds))
