"""Constraints on search: which tokens may not come next (Hugging Face: logits processors).

A rule is called with the tokens so far `[B, K, T]` and returns the ids of those that it forbids. So it is known before
a step how many of a row's best tokens are needed. Rejected: masks over all log-probabilities `[B, K, V]`, which would
have to be moved from the network for it. The log-probabilities of the others are not renormalised: a score stays the
network's own. Lengths and n-grams count tokens, which are words or subwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from showtell.core.candidates import Best, best_tokens
from showtell.core.stepper import Floats, Ids, Step

FORBIDDEN = -np.inf
NONE: Final = -1
"""In place of an id, where a row has fewer than others."""


class Rule(Protocol):
    def __call__(self, tokens: Ids) -> Ids:
        """`[B, K, M]`, or what broadcasts to it: ids that may not come next, or NONE."""
        ...


class Ban:
    """Token ids that are never generated, such as `<unk>`, `<pad>` and the start tokens."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = np.array(ids, np.int64).reshape(1, 1, -1)

    def __call__(self, tokens: Ids) -> Ids:
        return self.ids


class MinLength:
    """No end before `length` tokens."""

    def __init__(self, length: int, eos: int) -> None:
        self.length, self.eos = length, eos

    def __call__(self, tokens: Ids) -> Ids:
        return np.full((1, 1, 1), self.eos if tokens.shape[2] < self.length else NONE)


class MaxLength:
    """Only the end token after `length` tokens, so that every caption is a sentence with an end. No rule by itself,
    since it forbids nearly all tokens: `forbid` knows it.

    Rejected as a default: truncation without the end's probability, which ranks fragments above complete sentences.
    Imported models do it (`DecodeSettings.truncate`), as the search they were made with.
    """

    def __init__(self, length: int, eos: int) -> None:
        self.length, self.eos = length, eos


class NoBadEnding:
    """No end after one of `ids` (a, the, of ...); nor any of them as the last token that `max_length` allows."""

    def __init__(self, ids: Sequence[int], eos: int, max_length: int) -> None:
        self.ids, self.eos, self.max_length = np.asarray(ids, dtype=np.int64), eos, max_length

    def __call__(self, tokens: Ids) -> Ids:
        batch, beams, length = tokens.shape
        forbidden = np.full((batch, beams, 1), NONE)
        if length:
            forbidden[np.isin(tokens[:, :, -1], self.ids)] = self.eos
        if length == self.max_length - 1:
            last = np.broadcast_to(self.ids, (batch, beams, len(self.ids)))
            forbidden = np.concatenate([forbidden, last], 2)
        return forbidden


class NoRepeatNgram:
    """An n-gram occurs once per caption (Paulus, Xiong & Socher 2017, section 2.5, for n = 3), the `prompt` that all
    images' captions begin with included."""

    def __init__(self, n: int, prompt: Sequence[int] = ()) -> None:
        self.n, self.prompt = n, np.asarray(prompt, np.int64)

    def __call__(self, tokens: Ids) -> Ids:
        prompts = np.broadcast_to(self.prompt, (*tokens.shape[:2], len(self.prompt)))
        tokens = np.concatenate([prompts, tokens], 2)
        length = tokens.shape[2]
        if length < self.n:
            return np.zeros((1, 1, 0), np.int64)
        ngrams = np.lib.stride_tricks.sliding_window_view(tokens, self.n, axis=2)  # [B, K, T-n+1, n]
        prefix = tokens[:, :, None, length - self.n + 1 :]  # [B, K, 1, n-1]
        repeated = (ngrams[..., :-1] == prefix).all(-1)  # [B, K, T-n+1]
        return np.where(repeated, ngrams[..., -1], NONE)


AnyRule = Rule | MaxLength


@dataclass(frozen=True)
class Forbidden:
    """What the rules say of the next tokens."""

    ids: Ids
    """`[B, K, M]`, NONE where there are fewer."""
    all_but: int | None
    """The end token, where only it may come next; `ids` may forbid that, too."""

    @property
    def most(self) -> int:
        """How many tokens are forbidden in one row, at most."""
        return int((self.ids != NONE).sum(-1).max(initial=0))

    def mask(self, tokens: Ids) -> NDArray[np.bool_]:
        """Which of `tokens` `[B, K, N]` are forbidden."""
        is_forbidden = np.zeros(tokens.shape, np.bool_) if self.all_but is None else tokens != self.all_but
        for m in range(self.ids.shape[2]):  # some ten; a table [B, K, N, M] would be large for wide beams
            is_forbidden |= tokens == self.ids[:, :, m, None]
        return is_forbidden


def forbid(rules: Sequence[AnyRule], tokens: Ids) -> Forbidden:
    """What `rules` forbid after `tokens` `[B, K, T]`."""
    batch, beams, length = tokens.shape
    ends = [rule.eos for rule in rules if isinstance(rule, MaxLength) and length >= rule.length]
    found = [rule(tokens) for rule in rules if not isinstance(rule, MaxLength)]
    ids = [np.broadcast_to(each, (batch, beams, each.shape[2])) for each in found]
    return Forbidden(np.concatenate([np.zeros((batch, beams, 0), np.int64), *ids], 2), ends[0] if ends else None)


def needed(forbidden: Forbidden, count: int) -> int | None:
    """How many of a row's best tokens a step must give, so that the best `count` that are allowed are among them; None:
    all."""
    return count + forbidden.most if forbidden.all_but is None else None


def allowed_tokens(step: Step, forbidden: Forbidden, count: int) -> Best:
    """The step's best tokens `[B, K, N]`, N at least `count` (or all): of those that are forbidden the log-probability
    is minus infinity. `step` was asked for `needed`."""
    if forbidden.all_but is not None:
        end = step.log_probs[:, :, forbidden.all_but, None]
        best = Best(end, np.full(end.shape, forbidden.all_but))
    elif step.tokens is None:
        best = best_tokens(step.log_probs, count + forbidden.most)
    else:
        best = Best(step.log_probs, step.tokens)
    allowed: Floats = np.where(forbidden.mask(best.tokens), np.float32(FORBIDDEN), best.log_probs)
    return Best(allowed, best.tokens)
