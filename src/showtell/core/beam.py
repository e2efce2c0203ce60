"""Batched beam search.

At every step, for every image, all continuations of its K live beams are ranked by their sum of log-probabilities
(ties: the better beam first, then the lower token id). Of the best K, those that end become finished hypotheses; the
best K that do not end stay live. An image leaves the batch when no live beam can still rank among its `num` best
finished hypotheses, those that are asked for. Finished hypotheses rank by `sum / length ** length_penalty`, with the
end token counted into the length (Wu et al. 2016, section 7, in its plain form; fairseq's `lenpen`).

A hypothesis has at most `max_length` tokens and then its end. With `truncate` the end counts as one of `max_length`,
and in the step that makes hypotheses so long all of the best K finish, with or without an end: this is
`generate(num_beams=K, max_new_tokens=max_length, early_stopping="never")` of Hugging Face's transformers, token for
token.

The stopping rule is exact: log-probabilities are at most 0, so a sum only falls, and `sum / longest ** length_penalty`
bounds whatever a live beam can become. With `heuristic`, an image also leaves when K hypotheses are finished and no
live beam would rank among them if it ended now, for nothing, much as with transformers' `early_stopping=False`. The
built-in model saves a fifth to a third of its steps, for a caption that is nearly always the same
(`benchmarks/early_stopping.py`). Rejected: stopping at the K-th finished hypothesis, which loses better long captions.

`BeamScorer` and `decode_loop` are shared with diverse beam search (`diverse`), which runs several such beams per image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showtell.core.candidates import Best, Candidates, Sums, top_candidates
from showtell.core.rules import AnyRule, MaxLength, allowed_tokens, forbid, needed
from showtell.core.search import Hypothesis, read_prompt
from showtell.core.stepper import Floats, Ids, Stepper

FinishedHypotheses = list[tuple[float, Hypothesis]]
"""Of one beam, each with its length-normalised score, best first."""


@dataclass
class LiveBeams:
    """The unfinished hypotheses of the images that are still in the batch."""

    images: Ids
    """`[B']`: the index of each image in the whole batch."""
    sums: Sums
    """`[B', K]`: sums of log-probabilities; minus infinity where there is no hypothesis."""
    tokens: Ids
    """`[B', K, T]`"""
    log_probs: Floats
    """`[B', K, T]`"""
    attention: Floats | None
    """`[B', K, T, S]`"""

    def gather(self, images: Ids, beams: Ids) -> LiveBeams:
        """The beams `[images[b], beams[b, k]]`."""
        index = images[:, None], beams
        attention = None if self.attention is None else self.attention[index]
        return LiveBeams(self.images[images], self.sums[index], self.tokens[index], self.log_probs[index], attention)


@dataclass(frozen=True)
class BeamScorer:
    """Ranks the candidates of one beam of `beam_size` hypotheses, and decides which finish and which stay live."""

    eos: int
    beam_size: int
    max_length: int
    length_penalty: float
    num: int
    """Hypotheses that are asked for."""
    truncate: bool = False
    heuristic: bool = False
    """Whether the search of an image may end before it is certain that nothing better comes."""

    @property
    def longest(self) -> int:
        """Tokens of the longest hypothesis, its end included."""
        return self.max_length if self.truncate else self.max_length + 1

    @property
    def enough(self) -> int:
        """Candidates among which are the best `beam_size` that do not end: each beam has one that ends."""
        return 2 * self.beam_size

    def top_candidates(self, sums: Sums, best: Best, penalties: NDArray[Any] | None = None) -> Candidates:
        """The best candidates `[B', 2 beam_size]` of the live beams' `sums` `[B', K]` and tokens `best` `[B', K, N]`;
        `penalties` as in `candidates.top_candidates`."""
        return top_candidates(sums, best, self.enough, penalties)

    def finish(
        self,
        finished: Sequence[FinishedHypotheses],
        live: LiveBeams,
        candidates: Candidates,
        attention: Floats | None,
    ) -> list[tuple[int, int, int]]:
        """Move the candidates that end, or are as long as can be, among the first `beam_size` into `finished` `[B']`,
        which stays sorted.

        `attention` `[B', K, S]` is this step's. Returns `(b, k, token)`, image, beam and last token, of those that now
        rank among the best `beam_size`.
        """
        tokens, sums = candidates.tokens[:, : self.beam_size], candidates.sums[:, : self.beam_size]
        is_finished = (tokens == self.eos) | self.is_last_step(live)
        ranked = []
        for b, rank in zip(*np.nonzero(is_finished & np.isfinite(sums)), strict=True):
            k, token = int(candidates.beams[b, rank]), int(tokens[b, rank])
            hypothesis = self._hypothesis(live, b, k, token, candidates.log_probs[b, rank], attention)
            score = float(sums[b, rank]) / len(hypothesis.log_probs) ** self.length_penalty
            if self._ranks(score, finished[b], self.beam_size):
                ranked.append((int(b), k, token))
            finished[b].append((score, hypothesis))
            finished[b].sort(key=lambda entry: -entry[0])
        return ranked

    def is_last_step(self, live: LiveBeams) -> bool:
        """Whether the next token makes every hypothesis as long as it can be."""
        return bool(live.tokens.shape[2] == self.longest - 1)

    def _hypothesis(
        self, live: LiveBeams, b: int, k: int, token: int, log_prob: Any, attention: Floats | None
    ) -> Hypothesis:
        """The beam `k` of image `b`, finished by `token`: the end, or the last word of a truncated sentence."""
        tokens = live.tokens[b, k]
        weights = None if live.attention is None else live.attention[b, k]
        if attention is not None and weights is None:
            weights = attention[b, :0]  # [0, S]: a sentence without words
        if token != self.eos:
            tokens = np.append(tokens, token)
            weights = None if attention is None or weights is None else np.concatenate([weights, attention[b, k, None]])
        return Hypothesis(tokens, np.append(live.log_probs[b, k], log_prob), weights)

    def select_live(self, candidates: Candidates) -> Candidates:
        """The best `beam_size` that do not end; where there are fewer, the sum is minus infinity."""
        order = np.argsort(candidates.tokens == self.eos, axis=1, kind="stable")[:, : self.beam_size]
        live = candidates.gather(order)
        return replace(live, sums=np.where(live.tokens == self.eos, -np.inf, live.sums))

    def can_improve(self, finished: FinishedHypotheses, sums: Sums, live: LiveBeams) -> bool:
        """Whether a beam of `live` with one of these sums, one token later, can still rank among the best `num`
        hypotheses; with `heuristic`, also whether it would rank among the best `beam_size` if it ended now."""
        best = float(sums.max())
        if best == -np.inf or not self._ranks(best / self.longest**self.length_penalty, finished, self.num):
            return False
        ended_now = live.tokens.shape[2] + 2  # with the newest token and the end
        return not self.heuristic or self._ranks(best / ended_now**self.length_penalty, finished, self.beam_size)

    def with_length(self, rules: Sequence[AnyRule]) -> list[AnyRule]:
        """`rules`, and that of the greatest length, which a truncated sentence does not need."""
        return list(rules) if self.truncate else [*rules, MaxLength(self.max_length, self.eos)]

    def _ranks(self, score: float, finished: FinishedHypotheses, count: int) -> bool:
        """Whether the score is among the best `count`."""
        return len(finished) < count or score > finished[count - 1][0]


Select = Callable[[LiveBeams, Best, Floats | None], tuple[Candidates, Sequence[bool]]]
"""From the live beams, this step's best tokens that are allowed, and its attention: the candidates that stay live, and
whether each image stays in the batch. Finished hypotheses are collected by the function itself."""


def beam_search(
    stepper: Stepper,
    memory: Any,
    prompt: Ids,
    eos: int,
    rules: Sequence[AnyRule],
    beam_size: int,
    max_length: int,
    length_penalty: float = 0.0,
    num: int = 1,
    attention: bool = False,
    truncate: bool = False,
    heuristic: bool = False,
) -> list[list[Hypothesis]]:
    """The best `num` (at most `beam_size`) hypotheses of at most `max_length` tokens for each of the B images.

    `prompt` `[B, P]`: the tokens that each image's sentence begins with; they count in no length and no score. An image
    has fewer than `num` when the rules allow no more.
    """
    scorer = BeamScorer(eos, beam_size, max_length, length_penalty, num, truncate, heuristic)
    finished: list[FinishedHypotheses] = [[] for _ in prompt]

    def select(live: LiveBeams, best: Best, weights: Floats | None) -> tuple[Candidates, Sequence[bool]]:
        batch_finished = [finished[image] for image in live.images]
        candidates = scorer.top_candidates(live.sums, best)
        scorer.finish(batch_finished, live, candidates, weights)
        survivors = scorer.select_live(candidates)
        if scorer.is_last_step(live):
            return survivors, [False] * len(batch_finished)
        open_images = [scorer.can_improve(*pair, live) for pair in zip(batch_finished, survivors.sums, strict=True)]
        return survivors, open_images

    decode_loop(stepper, memory, prompt, scorer.with_length(rules), scorer.enough, select, attention)
    return [[hypothesis for _, hypothesis in image[:num]] for image in finished]


def decode_loop(
    stepper: Stepper,
    memory: Any,
    prompt: Ids,
    rules: Sequence[AnyRule],
    enough: int,
    select: Select,
    attention: bool,
) -> None:
    """Decode one token at a time until no image is left in the batch; `select` gets at least the best `enough` tokens
    of each row."""
    batch = len(prompt)
    empty = np.zeros((batch, 1, 0))
    live = LiveBeams(np.arange(batch), np.zeros((batch, 1)), empty.astype(np.int64), empty.astype(np.float32), None)
    state, tokens = read_prompt(stepper, memory, prompt)
    while len(live.images):
        forbidden = forbid(rules, live.tokens)
        step = stepper.step(tokens, state, needed(forbidden, enough))
        weights = step.attention if attention else None
        candidates, is_open = select(live, allowed_tokens(step, forbidden, enough), weights)
        rows = np.nonzero(np.array(is_open))[0]
        state = stepper.reorder(step.state, rows, candidates.beams[rows])
        live = _extend(live, candidates, rows, weights)
        tokens = candidates.tokens[rows]


def _extend(live: LiveBeams, candidates: Candidates, rows: Ids, attention: Floats | None) -> LiveBeams:
    """The live beams of the images `rows`, one token longer."""
    beams, tokens = candidates.beams[rows], candidates.tokens[rows]
    extended = live.gather(rows, beams)
    extended.sums = candidates.sums[rows]
    extended.tokens = np.concatenate([extended.tokens, tokens[:, :, None]], 2)
    extended.log_probs = np.concatenate([extended.log_probs, candidates.log_probs[rows][:, :, None]], 2)
    if attention is not None:
        newest = attention[rows[:, None], beams][:, :, None]  # [B', K, 1, S]
        is_first = extended.attention is None
        extended.attention = newest if is_first else np.concatenate([extended.attention, newest], 2)
    return extended
