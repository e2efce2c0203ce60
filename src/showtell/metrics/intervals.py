"""Confidence intervals of scores, and p-values of differences between two systems.

**Bootstrap** (Efron and Tibshirani 1993; for BLEU, Koehn 2004): draw as many images as there are, with replacement,
many times, and score each draw. The interval is between two percentiles of these scores. Two systems are compared on
the same draws (paired), so that images which are hard for both do not widen the interval of the difference.

**Jackknife** (Efron and Stein 1981) for corpus scores such as the vocabulary size: a draw with replacement has
duplicate captions and so less diversity by construction, and its interval would be biased. The standard error comes
from leaving out each image, and the interval is normal.

Document frequencies stay those of all the images, in every draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from showtell.metrics.ngrams import Floats

CONFIDENCE_LEVEL: Final = 0.95
_BATCH_ELEMENTS: Final = 2_000_000
"""Image indices drawn at once, 8 bytes each."""


class Estimate(NamedTuple):
    """A score and its interval. The bounds are `nan` where the images do not determine them, as with one image."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """Score of one system minus that of another. `p_value`: two-sided, of no difference."""

    value: float
    low: float
    high: float
    p_value: float


def bootstrap_weights(images: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each image is in each resample, `[batch, B]` at a time, `resamples` rows in total; the same for the
    same seed."""
    random = np.random.default_rng(seed)
    batch = max(1, _BATCH_ELEMENTS // images)
    for begin in range(0, resamples, batch):
        rows = min(batch, resamples - begin)
        indices = random.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(indices.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float64)


def bootstrap_estimate(value: float, resampled: Floats) -> Estimate:
    """Percentile interval. `resampled` `[resamples]`: the score of each resample."""
    low, high = np.quantile(resampled, [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def bootstrap_difference(value: float, resampled: Floats) -> Difference:
    """`resampled` `[resamples]`: the difference in each. The p-value is twice the share of resamples with the other
    sign."""
    estimate = bootstrap_estimate(value, resampled)
    # One is added to either side: no number of resamples shows that something is impossible (Davison, Hinkley 1997).
    beyond = min(np.count_nonzero(resampled <= 0), np.count_nonzero(resampled >= 0))
    return Difference(*estimate, p_value=min(1.0, 2 * (beyond + 1) / (len(resampled) + 1)))


def jackknife_estimate(value: float, leave_one_out: Floats, maximum: float = math.inf) -> Estimate:
    """Normal interval, clipped to the score's range from 0 to `maximum`. `leave_one_out` `[B]`: the score without each
    image. Where no image changes it, as when all captions differ, the standard error is unknown."""
    error = _jackknife_standard_error(leave_one_out)
    if error == 0:
        return Estimate(value, math.nan, math.nan)
    low, high = _normal_interval(value, error)
    return Estimate(value, max(0.0, low), min(maximum, high))


def jackknife_difference(value: float, leave_one_out: Floats) -> Difference:
    """`leave_one_out` `[B]`: the difference without each image. Where no image changes it, the standard error is
    unknown."""
    error = _jackknife_standard_error(leave_one_out)
    if error == 0:
        return Difference(value, math.nan, math.nan, 1.0 if value == 0 else math.nan)
    return Difference(value, *_normal_interval(value, error), p_value=math.erfc(abs(value) / error / math.sqrt(2)))


def _normal_interval(value: float, error: float) -> tuple[float, float]:
    half_width = NormalDist().inv_cdf((1 + CONFIDENCE_LEVEL) / 2) * error
    return value - half_width, value + half_width


def _jackknife_standard_error(leave_one_out: Floats) -> float:
    return float(np.sqrt((len(leave_one_out) - 1) * np.mean((leave_one_out - leave_one_out.mean()) ** 2)))
