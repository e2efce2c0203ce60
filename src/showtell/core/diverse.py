"""Diverse beam search: several different captions of an image (Vijayakumar et al. 2018, Hamming diversity).

The K live beams of an image are split into G groups of K / G, each with its own beam search (`beam`). At every step the
groups choose one after another, and each lowers a token's score by `diversity_penalty` for every live beam of an
earlier group that has just chosen it. The end token is not penalised. As in the authors' program, penalties accumulate:
within its group a hypothesis, finished or not, ranks by its sum of log-probabilities less all its penalties. The
returned scores are the network's, without penalties.

No caption is returned twice: a hypothesis that an earlier group finishes among its best K / G, with an end or
truncated, cannot finish in a later group, whose next best moves up. Equal captions have equal length, so a group only
compares with hypotheses finished in the same step.

The stopping rule is exact as in `beam`, since penalties only lower a sum. All groups go on until none of them can
improve, because the live beams of finished groups still penalise later ones; the result is that of a search that never
stops early. One thing is not exact: a hypothesis that longer ones later displace from its group's best K / G is not
given back to the later groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.core.beam import BeamScorer, FinishedHypotheses, LiveBeams, decode_loop
from showtell.core.candidates import Best, Candidates
from showtell.core.rules import FORBIDDEN, AnyRule
from showtell.core.search import Hypothesis
from showtell.core.stepper import Floats, Ids, Stepper


def diverse_beam_search(
    stepper: Stepper,
    memory: Any,
    prompt: Ids,
    eos: int,
    rules: Sequence[AnyRule],
    beam_size: int,
    num_beam_groups: int,
    diversity_penalty: float,
    max_length: int,
    length_penalty: float = 0.0,
    num: int = 1,
    attention: bool = False,
    truncate: bool = False,
    heuristic: bool = False,
) -> list[list[Hypothesis]]:
    """`num` (at most `beam_size`) different hypotheses of at most `max_length` tokens for each of the B images.

    First the best of every group, then the rest; both by `log_prob / length ** length_penalty`, best first. `beam_size`
    is a multiple of `num_beam_groups`. An image has fewer than `num` when the rules allow no more, or when
    `diversity_penalty` is so low that groups decode the same captions.
    """
    group_size = beam_size // num_beam_groups
    scorer = BeamScorer(eos, group_size, max_length, length_penalty, group_size, truncate, heuristic)
    finished: list[list[FinishedHypotheses]] = [[[] for _ in range(num_beam_groups)] for _ in prompt]

    def select(live: LiveBeams, best: Best, weights: Floats | None) -> tuple[Candidates, Sequence[bool]]:
        batch = len(live.images)
        is_open = np.zeros(batch, bool)
        survivors: list[Candidates] = []
        ended: list[tuple[int, int, int]] = []
        for g, group in enumerate(_group_slices(live, num_beam_groups)):
            own, penalties = Best(best.log_probs[:, group], best.tokens[:, group]), None
            if g:
                penalties = diversity_penalty * _token_counts(own.tokens, survivors)
                own = _without_repeats(own, live.tokens, group, ended)
            candidates = scorer.top_candidates(live.sums[:, group], own, penalties)
            candidates = replace(candidates, beams=candidates.beams + group.start)
            group_finished = [finished[image][g] for image in live.images]
            ended += scorer.finish(group_finished, live, candidates, weights)
            survivors.append(scorer.select_live(candidates))
            pairs = zip(group_finished, survivors[-1].sums, strict=True)
            is_open |= [scorer.can_improve(*pair, live) for pair in pairs]
        return _concatenate(survivors), [False] * batch if scorer.is_last_step(live) else is_open.tolist()

    # Of a row's tokens at most `beam_size` are penalised, and as many forbidden; so many more make up for them.
    enough = scorer.enough + 2 * beam_size
    decode_loop(stepper, memory, prompt, scorer.with_length(rules), enough, select, attention)
    size = scorer.beam_size
    return [_ranked([group[:size] for group in groups], length_penalty)[:num] for groups in finished]


def _group_slices(live: LiveBeams, groups: int) -> list[slice]:
    """The beams of each group; before the first token all groups share one row."""
    beams = live.sums.shape[1]
    if live.tokens.shape[2] == 0:
        return [slice(0, beams)] * groups
    size = beams // groups
    return [slice(g * size, (g + 1) * size) for g in range(groups)]


def _without_repeats(best: Best, tokens: Ids, group: slice, ended: Sequence[tuple[int, int, int]]) -> Best:
    """`best` `[B, K / G, N]` of `group`, but no hypothesis that has `ended` in an earlier group, as image, beam and
    last token of the beams `tokens` `[B, K, T]`."""
    log_probs = best.log_probs.copy()
    for b, k, token in ended:
        is_equal = (tokens[b, group] == tokens[b, k]).all(-1)
        log_probs[b, is_equal[:, None] & (best.tokens[b] == token)] = FORBIDDEN
    return Best(log_probs, best.tokens)


def _token_counts(tokens: Ids, earlier: Sequence[Candidates]) -> NDArray[np.float64]:
    """How many live beams of earlier groups have chosen each of `tokens` `[B, K / G, N]`."""
    counts = np.zeros(tokens.shape)
    for group in earlier:
        for rank in range(group.tokens.shape[1]):
            is_chosen = (tokens == group.tokens[:, rank, None, None]) & np.isfinite(group.sums[:, rank, None, None])
            counts += is_chosen
    return counts


def _concatenate(groups: Sequence[Candidates]) -> Candidates:
    return Candidates(
        np.concatenate([group.beams for group in groups], 1),
        np.concatenate([group.tokens for group in groups], 1),
        np.concatenate([group.sums for group in groups], 1),
        np.concatenate([group.log_probs for group in groups], 1),
    )


def _ranked(groups: Sequence[FinishedHypotheses], length_penalty: float) -> list[Hypothesis]:
    """The best of each group, then the others; ties: the earlier group first."""

    def score(hypothesis: Hypothesis) -> float:
        length = len(hypothesis.log_probs)
        return float(hypothesis.log_prob / length**length_penalty)

    best = [hypothesis for group in groups for _, hypothesis in group[:1]]
    rest = [hypothesis for group in groups for _, hypothesis in group[1:]]
    return sorted(best, key=score, reverse=True) + sorted(rest, key=score, reverse=True)
