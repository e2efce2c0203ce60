"""Whether one number puts images in the order of another: Spearman's rank correlation, with its interval."""

from __future__ import annotations

import numpy as np

from showtell.metrics.intervals import Estimate, by_bootstrap, draws
from showtell.metrics.ngrams import Floats


def ranks(values: Floats) -> Floats:
    """`[B]`: each value's place from 1; equal values share the mean of their places."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last: Floats = count.cumsum().astype(np.float64)
    return (last - (count - 1) / 2)[place]


def spearman(one: Floats, other: Floats) -> float:
    """From -1 to 1; `nan` where all values of either are equal, which have no order."""
    if len(one) < 2:
        return np.nan
    mine, theirs = ranks(one), ranks(other)
    mine, theirs = mine - mine.mean(), theirs - theirs.mean()
    size = float(np.sqrt((mine @ mine) * (theirs @ theirs)))
    return float(mine @ theirs) / size if size > 0 else np.nan


def rank_correlation(one: Floats, other: Floats, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Spearman's correlation of the same images' numbers, `[B]` each; the ranks are those within each draw."""
    value = spearman(one, other)
    if not np.isfinite(value):
        return Estimate(value, np.nan, np.nan)
    found = []
    for weights in draws(len(one), resamples, seed):
        rows = (np.repeat(np.arange(len(one)), each.astype(np.int64)) for each in weights)
        found += [spearman(one[row], other[row]) for row in rows]
    drawn = np.array(found)
    # A draw can, among few images, be of one alone.
    return by_bootstrap(value, drawn[np.isfinite(drawn)])
