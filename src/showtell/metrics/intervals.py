"""How sure a score is: what it would be if other images like these had been captioned.

**Bootstrap** (Efron and Tibshirani 1993; for BLEU, Koehn 2004): draw as many images as there are, with replacement,
many times, and score each draw. The interval is from one percentile of these scores to the other. Two systems are
compared on the same draws: what is hard for both does not blur the difference.

**Jackknife** (Efron and Stein 1981) for the variety of a set of captions, such as the number of its different words: a
draw with replacement holds captions twice and has less variety by construction, so it says nothing about that. What
leaving out each image changes gives the standard error, and the interval is normal.

Document frequencies stay those of all the images, in every draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from showtell.metrics.ngrams import Floats

LEVEL: Final = 0.95
_TOGETHER: Final = 2_000_000
"""Numbers of images drawn at once, which take 8 bytes each."""


class Estimate(NamedTuple):
    """A score with its interval, or without one (`nan`) when the images say nothing of it: when there is but one."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """How much more one system scores than another. `p`: how likely a difference at least as far from 0 would be if
    there were none."""

    value: float
    low: float
    high: float
    p: float


def draws(images: int, count: int, seed: int) -> Iterator[Floats]:
    """How often each image is in each of `count` draws, `[some, B]` at a time; always the same for the same seed."""
    random = np.random.default_rng(seed)
    together = max(1, _TOGETHER // images)
    for begin in range(0, count, together):
        rows = min(together, count - begin)
        drawn = random.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float64)


def by_bootstrap(value: float, drawn: Floats) -> Estimate:
    """`drawn` `[draws]`: the score in each."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def difference_by_bootstrap(value: float, drawn: Floats) -> Difference:
    """`drawn` `[draws]`: the difference in each. `p` is twice the share of draws on the other side of 0."""
    estimate = by_bootstrap(value, drawn)
    # One is added to either side, since no number of draws shows that something is impossible (Davison, Hinkley 1997).
    beyond = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    return Difference(*estimate, p=min(1.0, 2 * (beyond + 1) / (len(drawn) + 1)))


def by_jackknife(value: float, without: Floats, most: float = math.inf) -> Estimate:
    """`without` `[B]`: the score without each image. It is 0 at least, and `most` at most, and so is its interval.
    Where no image changes it, as when all captions differ, nothing is known of its error."""
    error = _standard_error(without)
    if error == 0:
        return Estimate(value, math.nan, math.nan)
    low, high = _around(value, error)
    return Estimate(value, max(0.0, low), min(most, high))


def _around(value: float, error: float) -> tuple[float, float]:
    width = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return value - width, value + width


def difference_by_jackknife(value: float, without: Floats) -> Difference:
    """`without` `[B]`: the difference without each image. Where no image changes it, nothing is known of its error."""
    error = _standard_error(without)
    if error == 0:
        return Difference(value, math.nan, math.nan, 1.0 if value == 0 else math.nan)
    return Difference(value, *_around(value, error), p=math.erfc(abs(value) / error / math.sqrt(2)))


def _standard_error(without: Floats) -> float:
    return float(np.sqrt((len(without) - 1) * np.mean((without - without.mean()) ** 2)))
