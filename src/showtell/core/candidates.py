"""The best continuations: of a row, and of the live beams of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from showtell.core.stepper import Floats, Ids

Sums = NDArray[np.float64]
STRIDE = 64
"""Tokens in a group of `best_tokens`."""


class Best(NamedTuple):
    """The best next tokens of every row, best first; of equal ones the lower id comes first."""

    log_probs: Floats
    """`[B, K, N]`"""
    tokens: Ids
    """`[B, K, N]`"""


@dataclass(frozen=True)
class Candidates:
    """Continuations of live beams, best first; every array is `[B', N]`."""

    beams: Ids
    """The index in `LiveBeams` of the beam that is continued."""
    tokens: Ids
    sums: Sums
    log_probs: Floats
    """Of the tokens alone."""

    def gather(self, order: Ids) -> Candidates:
        return Candidates(
            np.take_along_axis(self.beams, order, 1),
            np.take_along_axis(self.tokens, order, 1),
            np.take_along_axis(self.sums, order, 1),
            np.take_along_axis(self.log_probs, order, 1),
        )


def top_candidates(sums: Sums, best: Best, count: int, penalties: NDArray[Any] | None = None) -> Candidates:
    """The best `count` (or all, where there are fewer) of `sums` `[B', K]` plus `best` `[B', K, N]`, of which the best
    `count` of each row must be a part; ties: the better beam first, then the lower token id.

    `penalties` `[B', K, N]` are subtracted from the log-probabilities, and count in the sums.
    """
    batch, beams, width = best.tokens.shape
    log_probs = best.log_probs if penalties is None else best.log_probs - penalties
    reached = (sums[:, :, None] + log_probs).reshape(batch, beams * width)
    tokens = best.tokens.reshape(batch, beams * width)
    beam = np.broadcast_to(np.repeat(np.arange(beams), width), tokens.shape)
    # Without penalties, equal tokens of a row are in the right order already.
    order = np.argsort(-reached, 1, "stable") if penalties is None else np.lexsort((tokens, beam, -reached))
    candidates = Candidates(beam, tokens, reached, best.log_probs.reshape(batch, beams * width))
    return candidates.gather(order[:, :count])


def best_tokens(log_probs: Floats, count: int) -> Best:
    """The best `count` (or all, where there are fewer) of `log_probs` `[B, K, V]`.

    The `count`-th best maximum of groups of STRIDE tokens is a lower bound of the row's `count`-th best token, and what
    is below it is left out before anything is sorted. Rejected: numpy's partition of all V, several times as slow at
    30,000 tokens, and a full stable sort, slower still.
    """
    batch, beams, vocab_size = log_probs.shape
    rows = log_probs.reshape(batch * beams, vocab_size)
    count = min(count, vocab_size)
    row, token = np.nonzero(_may_be_best(rows, count))
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(len(rows)))[row]
    values = np.full((len(rows), int(place.max(initial=0)) + 1), -np.inf, log_probs.dtype)
    tokens = np.zeros(values.shape, np.int64)
    values[row, place], tokens[row, place] = rows[row, token], token
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    shape = batch, beams, count
    return Best(
        np.take_along_axis(values, order, 1).reshape(shape), np.take_along_axis(tokens, order, 1).reshape(shape)
    )


def _may_be_best(rows: Floats, count: int) -> NDArray[np.bool_]:
    """`[R, V]`: true for at least `count` of the best tokens of each row."""
    groups = rows.shape[1] // STRIDE
    if groups <= count:
        return np.ones(rows.shape, np.bool_)
    # A group is every `groups`-th token, not STRIDE neighbours: then the maxima are STRIDE vector operations.
    maxima = rows[:, : groups * STRIDE].reshape(len(rows), STRIDE, groups).max(1)
    bound = np.partition(maxima, groups - count, axis=1)[:, groups - count]
    reaching: NDArray[np.bool_] = ~(rows < bound[:, None])  # NaN, of a network that broke, is among them
    return reaching
