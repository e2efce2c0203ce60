"""Beam search over many images together.

For every image, at every step: all continuations of its K unfinished sentences are ranked by the sum of their
log-probabilities (ties: the better beam, then the lower id, first). Among the best K, those that end are finished; the
best K that do not end go on. An image leaves the batch when it has K finished sentences and no unfinished one can
still rank among them. Finished sentences rank by `sum / length ** length_exponent`, the end counted into the length
(Wu et al. 2016, section 7, in its plain form).

Stopping is exact: log-probabilities are at most 0, so a sum only falls, and `sum / longest ** exponent` bounds whatever
may become of a sentence. The usual "stop at the K-th end" is faster by a step or two and loses better long sentences.

`Beam` and `follow` also carry diverse beam search (`diverse`), which has several such beams per image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.core.rules import MaxLength, Rule, apply
from showtell.core.search import Hypothesis
from showtell.core.stepper import Floats, Ids, Stepper

Sums = NDArray[np.float64]
Pool = list[tuple[float, Hypothesis]]
"""The finished sentences of one beam and what they rank by, best first."""


@dataclass
class Alive:
    """The unfinished sentences of the images that are still searched."""

    images: Ids
    """`[B']`: the number each image had at first."""
    sums: Sums
    """`[B', K]`: what the sentences rank by; minus infinity where there is no sentence."""
    words: Ids
    """`[B', K, T]`"""
    log_probs: Floats
    """`[B', K, T]`"""
    attention: Floats | None
    """`[B', K, T, S]`"""

    def pick(self, images: Ids, beams: Ids) -> Alive:
        at = images[:, None], beams
        attention = None if self.attention is None else self.attention[at]
        return Alive(self.images[images], self.sums[at], self.words[at], self.log_probs[at], attention)


@dataclass(frozen=True)
class Continuations:
    """What may be said next, best first; everything is `[B', N]`."""

    beams: Ids
    """The place in `Alive` of the sentence that is continued."""
    tokens: Ids
    sums: Sums

    def take(self, order: Ids) -> Continuations:
        return Continuations(
            np.take_along_axis(self.beams, order, 1),
            np.take_along_axis(self.tokens, order, 1),
            np.take_along_axis(self.sums, order, 1),
        )


@dataclass(frozen=True)
class Beam:
    """The rules of one beam of `width` unfinished sentences."""

    end: int
    width: int
    max_length: int
    exponent: float

    def best(self, sums: Sums) -> Continuations:
        """The best continuations `[B', 2 width]` of sentences, of which it gets all sums `[B', K, V]`.

        That is enough for the best `width` that do not end: of each sentence only one continuation ends.
        """
        batch, rows, vocabulary = sums.shape
        flat_sums = sums.reshape(batch, rows * vocabulary)
        count = min(2 * self.width, rows * vocabulary)
        # Partition finds the count-th best sum in linear time; only what reaches it is sorted, stably, so that ties at
        # the threshold fall as the docstring says. A full stable sort gives the same and takes twenty times as long.
        threshold = np.partition(flat_sums, rows * vocabulary - count, axis=1)[:, rows * vocabulary - count]
        flat = np.empty((batch, count), np.int64)
        for b in range(batch):
            places = np.nonzero(flat_sums[b] >= threshold[b])[0]
            flat[b] = places[np.argsort(-flat_sums[b, places], kind="stable")[:count]]
        beams, tokens = np.divmod(flat, vocabulary)
        return Continuations(beams, tokens, np.take_along_axis(flat_sums, flat, 1))

    def finish(
        self,
        pools: Sequence[Pool],
        alive: Alive,
        best: Continuations,
        log_probs: Floats,
        attention: Floats | None,
    ) -> list[tuple[int, int]]:
        """Move what ends among the first `width` into the pools `[B']`, which stay sorted.

        `log_probs` `[B', K, V]` and `attention` `[B', K, S]` are this step's. Where the sentences stood `(b, k)` that
        are now among their pool's best `width`.
        """
        tokens, sums = best.tokens[:, : self.width], best.sums[:, : self.width]
        found = []
        for b, rank in zip(*np.nonzero((tokens == self.end) & np.isfinite(sums)), strict=True):
            k = best.beams[b, rank]
            looked = None if alive.attention is None else alive.attention[b, k]
            if attention is not None and looked is None:
                looked = attention[b, :0]  # [0, S]: a sentence without words
            hypothesis = Hypothesis(
                alive.words[b, k],
                np.append(alive.log_probs[b, k], log_probs[b, k, self.end]),
                looked,
            )
            value = float(sums[b, rank]) / len(hypothesis.log_probs) ** self.exponent
            if self._enters(value, pools[b]):
                found.append((int(b), int(k)))
            pools[b].append((value, hypothesis))
            pools[b].sort(key=lambda entry: -entry[0])
        return found

    def going_on(self, best: Continuations) -> Continuations:
        """The best `width` that do not end; where there are fewer, the sum is minus infinity."""
        going = best.take(np.argsort(best.tokens == self.end, axis=1, kind="stable")[:, : self.width])
        return Continuations(going.beams, going.tokens, np.where(going.tokens == self.end, -np.inf, going.sums))

    def is_open(self, pool: Pool, sums: Sums) -> bool:
        """Whether one of the unfinished sentences with these sums can still enter the pool's best `width`."""
        bound = sums.max() / (self.max_length + 1) ** self.exponent
        return bound > -np.inf and self._enters(bound, pool)

    def _enters(self, value: float, pool: Pool) -> bool:
        return len(pool) < self.width or value > pool[self.width - 1][0]


Turn = Callable[[Alive, Floats, Floats | None], tuple[Continuations, Sequence[bool]]]
"""Finish what ends, by this step's log-probabilities and attention; what goes on, and which images are kept."""


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
    one = Beam(end, beam, max_length, length_exponent)
    pools: list[Pool] = [[] for _ in starts]

    def turn(alive: Alive, log_probs: Floats, looked: Floats | None) -> tuple[Continuations, Sequence[bool]]:
        mine = [pools[image] for image in alive.images]
        best = one.best(alive.sums[:, :, None] + log_probs)
        one.finish(mine, alive, best, log_probs, looked)
        going = one.going_on(best)
        return going, [one.is_open(pool, sums) for pool, sums in zip(mine, going.sums, strict=True)]

    follow(stepper, memory, starts, [*rules, MaxLength(max_length, end)], turn, attention)
    return [[hypothesis for _, hypothesis in pool[:num]] for pool in pools]


def follow(stepper: Stepper, memory: Any, starts: Ids, rules: Sequence[Rule], turn: Turn, attention: bool) -> None:
    """Take turns, one word each, until no image is kept."""
    batch = len(starts)
    nothing = np.zeros((batch, 1, 0))
    alive = Alive(np.arange(batch), np.zeros((batch, 1)), nothing.astype(np.int64), nothing.astype(np.float32), None)
    state, newest = stepper.start(memory), starts[:, None]
    while len(alive.images):
        step = stepper.step(newest, state)
        looked = step.attention if attention else None
        apply(rules, step.log_probs, alive.words)
        going, kept = turn(alive, step.log_probs, looked)
        rows = np.nonzero(np.array(kept))[0]
        state = stepper.select(step.state, rows, going.beams[rows])
        alive = _grow(alive, going, rows, step.log_probs, looked)
        newest = going.tokens[rows]


def _grow(alive: Alive, going: Continuations, rows: Ids, log_probs: Floats, attention: Floats | None) -> Alive:
    """The unfinished sentences of those rows, one word longer."""
    beams, tokens = going.beams[rows], going.tokens[rows]
    grown = alive.pick(rows, beams)
    grown.sums = going.sums[rows]
    grown.words = np.concatenate([grown.words, tokens[:, :, None]], 2)
    grown.log_probs = np.concatenate([grown.log_probs, log_probs[rows[:, None], beams, tokens][:, :, None]], 2)
    if attention is not None:
        newest = attention[rows[:, None], beams][:, :, None]  # [B', K, 1, S]
        grown.attention = newest if grown.attention is None else np.concatenate([grown.attention, newest], 2)
    return grown
