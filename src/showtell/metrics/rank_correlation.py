"""Spearman's rank correlation with a bootstrap interval."""

from __future__ import annotations

import numpy as np

from showtell.metrics.intervals import Estimate, bootstrap_estimate, bootstrap_weights
from showtell.metrics.ngrams import Floats


def rankdata(values: Floats) -> Floats:
    """Ranks from 1, `[B]`; ties get the mean of their ranks (as `scipy.stats.rankdata`)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last: Floats = counts.cumsum().astype(np.float64)
    return (last - (counts - 1) / 2)[inverse]


def spearman(x: Floats, y: Floats) -> float:
    """From -1 to 1; `nan` where all values of either are equal."""
    if len(x) < 2:
        return np.nan
    x_ranks, y_ranks = rankdata(x), rankdata(y)
    x_ranks, y_ranks = x_ranks - x_ranks.mean(), y_ranks - y_ranks.mean()
    norm = float(np.sqrt((x_ranks @ x_ranks) * (y_ranks @ y_ranks)))
    return float(x_ranks @ y_ranks) / norm if norm > 0 else np.nan


def spearman_estimate(x: Floats, y: Floats, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Correlation of two values per image, `[B]` each, with its interval; ranks are those within each resample."""
    value = spearman(x, y)
    if not np.isfinite(value):
        return Estimate(value, np.nan, np.nan)
    resampled = []
    for weights in bootstrap_weights(len(x), resamples, seed):
        for counts in weights:
            indices = np.repeat(np.arange(len(x)), counts.astype(np.int64))
            resampled.append(spearman(x[indices], y[indices]))
    values = np.array(resampled)
    # With few images a resample can hold a single image, which has no correlation.
    return bootstrap_estimate(value, values[np.isfinite(values)])
