"""Beam search over many images together.

For every image, at every step: all continuations of its K unfinished sentences are ranked by the sum of their
log-probabilities (ties: the better beam, then the lower id, first). Among the best K, those that end are finished; the
best K that do not end go on. An image leaves the batch when it has K finished sentences and no unfinished one can
still rank among them. Finished sentences rank by `sum / length ** length_exponent`, the end counted into the length
(Wu et al. 2016, section 7, in its plain form).

Stopping is exact: log-probabilities are at most 0, so a sum only falls, and `sum / longest ** exponent` bounds whatever
may become of a sentence. The usual "stop at the K-th end" is faster by a step or two and loses better long sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.core.rules import MaxLength, Rule, apply
from showtell.core.search import Hypothesis
from showtell.core.stepper import Floats, Ids, Stepper


@dataclass
class _Alive:
    """The unfinished sentences of the images that are still searched."""

    images: Ids
    """`[B']`: the number each image had at first."""
    sums: NDArray[np.float64]
    """`[B', K]`; minus infinity where there is no sentence."""
    words: Ids
    """`[B', K, T]`"""
    log_probs: Floats
    """`[B', K, T]`"""
    attention: Floats | None
    """`[B', K, T, S]`"""

    def pick(self, images: Ids, beams: Ids) -> _Alive:
        at = images[:, None], beams
        attention = None if self.attention is None else self.attention[at]
        return _Alive(self.images[images], self.sums[at], self.words[at], self.log_probs[at], attention)


def beam_search(
    stepper: Stepper,
    memory: Any,
    starts: Ids,
    end: int,
    rules: Sequence[Rule],
    beam: int,
    max_length: int,
    length_exponent: float = 0.0,
    num: int = 1,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """The best `num` (at most `beam`) sentences of at most `max_length` words for each of the B images, best first.

    `starts` `[B]`: the start token of each image. An image has fewer than `num` when the rules allow no more.
    """
    rules = [*rules, MaxLength(max_length, end)]
    longest = (max_length + 1) ** length_exponent
    pools: list[list[tuple[float, Hypothesis]]] = [[] for _ in starts]
    batch = len(starts)
    alive = _Alive(
        np.arange(batch),
        np.zeros((batch, 1)),
        np.zeros((batch, 1, 0), np.int64),
        np.zeros((batch, 1, 0), np.float32),
        None,
    )
    state, newest = stepper.start(memory), starts[:, None]
    while len(alive.images):
        step = stepper.step(newest, state)
        beams, tokens, sums, log_probs = _best(step.log_probs, alive, rules, 2 * beam)
        alive_attention = step.attention if attention else None
        _finish(pools, alive, alive_attention, (beams, tokens, sums, log_probs), end, beam, length_exponent)
        chosen = np.argsort(tokens == end, axis=1, kind="stable")[:, :beam]  # the best K that do not end
        beams, tokens = np.take_along_axis(beams, chosen, 1), np.take_along_axis(tokens, chosen, 1)
        sums, log_probs = np.take_along_axis(sums, chosen, 1), np.take_along_axis(log_probs, chosen, 1)
        sums = np.where(tokens == end, -np.inf, sums)
        kept = np.array([_open(pools[i], sums[b].max() / longest, beam) for b, i in enumerate(alive.images)])
        rows = np.nonzero(kept)[0]
        state = stepper.select(step.state, rows, beams[rows])
        alive = _grow(alive, alive_attention, rows, beams[rows], tokens[rows], sums[rows], log_probs[rows])
        newest = tokens[rows]
    return [[hypothesis for _, hypothesis in pool[:num]] for pool in pools]


def _best(
    log_probs: Floats, alive: _Alive, rules: Sequence[Rule], count: int
) -> tuple[Ids, Ids, NDArray[np.float64], Floats]:
    """The `count` best continuations of each image, best first: beams, tokens, sums, log-probabilities `[B, count]`."""
    apply(rules, log_probs, alive.words)
    batch, width, vocabulary = log_probs.shape
    sums = (alive.sums[:, :, None] + log_probs).reshape(batch, width * vocabulary)
    count = min(count, width * vocabulary)
    # Partition finds the count-th best sum in linear time; only what reaches it is sorted, stably, so that ties at the
    # threshold fall as the docstring says. A full stable sort gives the same and takes twenty times as long.
    threshold = np.partition(sums, sums.shape[1] - count, axis=1)[:, sums.shape[1] - count]
    flat = np.empty((batch, count), np.int64)
    for b in range(batch):
        places = np.nonzero(sums[b] >= threshold[b])[0]
        flat[b] = places[np.argsort(-sums[b, places], kind="stable")[:count]]
    beams, tokens = np.divmod(flat, vocabulary)
    picked = np.take_along_axis(log_probs.reshape(batch, -1), flat, 1)
    return beams, tokens, np.take_along_axis(sums, flat, 1), picked


def _finish(
    pools: list[list[tuple[float, Hypothesis]]],
    alive: _Alive,
    attention: Floats | None,
    best: tuple[Ids, Ids, NDArray[np.float64], Floats],
    end: int,
    beam: int,
    exponent: float,
) -> None:
    """Move the sentences that end among the best K into their image's pool, which stays sorted, best first."""
    beams, tokens, sums, log_probs = best
    for b, rank in zip(*np.nonzero((tokens[:, :beam] == end) & np.isfinite(sums[:, :beam])), strict=True):
        k, image = beams[b, rank], alive.images[b]
        looked = None if alive.attention is None else alive.attention[b, k]
        if attention is not None and looked is None:
            looked = attention[b, :0]  # [0, S]: a sentence without words
        hypothesis = Hypothesis(
            alive.words[b, k],
            np.append(alive.log_probs[b, k], log_probs[b, rank]),
            looked,
        )
        value = float(sums[b, rank]) / len(hypothesis.log_probs) ** exponent
        pools[image].append((value, hypothesis))
        pools[image].sort(key=lambda entry: -entry[0])


def _open(pool: list[tuple[float, Hypothesis]], bound: float, beam: int) -> bool:
    """Whether an unfinished sentence worth at most `bound` can still enter the best K of the pool."""
    if bound == -np.inf:
        return False
    return len(pool) < beam or bound > pool[beam - 1][0]


def _grow(
    alive: _Alive,
    attention: Floats | None,
    rows: Ids,
    beams: Ids,
    tokens: Ids,
    sums: NDArray[np.float64],
    log_probs: Floats,
) -> _Alive:
    """The unfinished sentences, one word longer."""
    grown = alive.pick(rows, beams)
    grown.sums = sums
    grown.words = np.concatenate([grown.words, tokens[:, :, None]], 2)
    grown.log_probs = np.concatenate([grown.log_probs, log_probs[:, :, None]], 2)
    if attention is not None:
        newest = attention[rows[:, None], beams][:, :, None]  # [B', K, 1, S]
        grown.attention = newest if grown.attention is None else np.concatenate([grown.attention, newest], 2)
    return grown
