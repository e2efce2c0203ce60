"""Diverse beam search: several different sentences for an image (Vijayakumar et al. 2018, Hamming diversity).

The K unfinished sentences of an image are split into G groups of K / G, each a beam of its own (`beam`). At every step
the groups choose one after the other, and each ranks a word lower by `diversity` for every unfinished sentence of the
earlier groups that has just gone on with this word. The end is no word and costs nothing. As in the authors' program
the penalties add up over a sentence: within its group, finished or not, it ranks by the sum of its log-probabilities
less all its penalties. Nothing else sees them: scores are the network's own.

No sentence is found twice: what an earlier group ends and has among its best K / G, a later one cannot end, and its
next best moves up. Equal sentences are equally long, so a group has only to look at what has ended in the same step.

Stopping is exact as in `beam`: penalties only lower a sum, too. All groups go on until none of them can find anything
better, for those that are done still say what costs later groups; so the result is that of a search that never stops
early. Not exact is the rule against repetition: a sentence that longer ones displace from its group's best K / G in the
end is not given back to the later groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.core.beam import Alive, Beam, Continuations, Pool, follow
from showtell.core.rules import FORBIDDEN, MaxLength, Rule
from showtell.core.search import Hypothesis
from showtell.core.stepper import Floats, Ids, Stepper


def diverse_beam_search(
    stepper: Stepper,
    memory: Any,
    starts: Ids,
    end: int,
    rules: Sequence[Rule],
    beam: int,
    groups: int,
    diversity: float,
    max_length: int,
    length_exponent: float = 0.0,
    num: int = 1,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """`num` (at most `beam`) different sentences of at most `max_length` words for each of the B images.

    First the best of every group, then the rest; both by `log_prob / length ** length_exponent`, best first. `beam` is
    a multiple of `groups`. An image has fewer than `num` when the rules allow no more, or when `diversity` is so low
    that groups go the same way.
    """
    group = Beam(end, beam // groups, max_length, length_exponent)
    pools: list[list[Pool]] = [[[] for _ in range(groups)] for _ in starts]

    def turn(alive: Alive, log_probs: Floats, looked: Floats | None) -> tuple[Continuations, Sequence[bool]]:
        batch, rows, vocabulary = log_probs.shape
        said, ended = np.zeros((batch, vocabulary)), np.zeros((batch, rows), bool)
        kept, parts = np.zeros(batch, bool), []
        for g, mine in enumerate(_places(alive, groups)):
            sums = alive.sums[:, mine, None] + log_probs[:, mine]
            if g:
                sums -= diversity * said[:, None]
                sums[:, :, end][_repeats(alive.words, mine, ended)] = FORBIDDEN
            best = group.best(sums)
            best = Continuations(best.beams + mine.start, best.tokens, best.sums)
            own = [pools[image][g] for image in alive.images]
            for at in group.finish(own, alive, best, log_probs, looked):
                ended[at] = True
            parts.append(group.going_on(best))
            _count(said, parts[-1])
            kept |= [group.is_open(pool, left) for pool, left in zip(own, parts[-1].sums, strict=True)]
        return _side_by_side(parts), kept.tolist()

    follow(stepper, memory, starts, [*rules, MaxLength(max_length, end)], turn, attention)
    return [_ranked([pool[: group.width] for pool in of_image], length_exponent)[:num] for of_image in pools]


def _places(alive: Alive, groups: int) -> list[slice]:
    """Where each group's sentences stand; before the first word all share one row."""
    rows = alive.sums.shape[1]
    if alive.words.shape[2] == 0:
        return [slice(0, rows)] * groups
    each = rows // groups
    return [slice(g * each, (g + 1) * each) for g in range(groups)]


def _repeats(words: Ids, mine: slice, ended: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`[B, K / G]`: which sentences of `mine` are word for word one of those that have `ended` `[B, K]`."""
    if not ended.any():
        return np.zeros(words[:, mine].shape[:2], bool)
    same = (words[:, mine, None] == words[:, None]).all(-1)  # [B, K / G, K]
    repeats: NDArray[np.bool_] = (same & ended[:, None]).any(-1)
    return repeats


def _count(said: NDArray[np.float64], going: Continuations) -> None:
    """One more for each word with which a sentence goes on."""
    image, rank = np.nonzero(np.isfinite(going.sums))
    np.add.at(said, (image, going.tokens[image, rank]), 1)


def _side_by_side(parts: Sequence[Continuations]) -> Continuations:
    return Continuations(
        np.concatenate([part.beams for part in parts], 1),
        np.concatenate([part.tokens for part in parts], 1),
        np.concatenate([part.sums for part in parts], 1),
    )


def _ranked(pools: Sequence[Pool], exponent: float) -> list[Hypothesis]:
    """The best of each pool, then the others; ties: the earlier group first."""

    def value(hypothesis: Hypothesis) -> float:
        length = len(hypothesis.log_probs)
        return float(hypothesis.log_prob / length**exponent)

    bests = [hypothesis for pool in pools for _, hypothesis in pool[:1]]
    others = [hypothesis for pool in pools for _, hypothesis in pool[1:]]
    return sorted(bests, key=value, reverse=True) + sorted(others, key=value, reverse=True)
