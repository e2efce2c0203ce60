"""What a caption may not say: masks over log-probabilities.

A rule is called with the log-probabilities of the next word `[B, K, V]` and the words so far `[B, K, T]`, and sets to
minus infinity what it forbids. The rest is not renormalised: a score stays the network's own. A word is an id here:
where a vocabulary has pieces of words, lengths and n-grams count pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from showtell.core.stepper import Floats, Ids

FORBIDDEN = -np.inf


class Rule(Protocol):
    def __call__(self, log_probs: Floats, words: Ids) -> None: ...


class Ban:
    """Ids that are never written, such as `<unk>`, `<pad>` and the start tokens."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)

    def __call__(self, log_probs: Floats, words: Ids) -> None:
        log_probs[:, :, self.ids] = FORBIDDEN


class MinLength:
    """No end before `length` words."""

    def __init__(self, length: int, end: int) -> None:
        self.length, self.end = length, end

    def __call__(self, log_probs: Floats, words: Ids) -> None:
        if words.shape[2] < self.length:
            log_probs[:, :, self.end] = FORBIDDEN


class MaxLength:
    """After `length` words nothing but the end, so that every caption is a sentence that the network has closed itself.

    The alternative, cutting the sentence off without the end's probability, ranks torsos above sentences.
    """

    def __init__(self, length: int, end: int) -> None:
        self.length, self.end = length, end

    def __call__(self, log_probs: Floats, words: Ids) -> None:
        if words.shape[2] >= self.length:
            log_probs[:, :, : self.end] = FORBIDDEN
            log_probs[:, :, self.end + 1 :] = FORBIDDEN


class NoBadEnding:
    """No end after one of `ids` (a, the, of ...); none of them as the last word that `max_length` allows, either."""

    def __init__(self, ids: Sequence[int], end: int, max_length: int) -> None:
        self.ids, self.end, self.max_length = np.asarray(ids, dtype=np.int64), end, max_length

    def __call__(self, log_probs: Floats, words: Ids) -> None:
        length = words.shape[2]
        if length:
            log_probs[np.isin(words[:, :, -1], self.ids), self.end] = FORBIDDEN
        if length == self.max_length - 1:
            log_probs[:, :, self.ids] = FORBIDDEN


class NoRepeatNgram:
    """An n-gram occurs once per caption (Paulus, Xiong & Socher 2017, section 2.5, for n = 3)."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, log_probs: Floats, words: Ids) -> None:
        length = words.shape[2]
        if length < self.n:
            return
        ngrams = np.lib.stride_tricks.sliding_window_view(words, self.n, axis=2)  # [B, K, T-n+1, n]
        begun = words[:, :, None, length - self.n + 1 :]  # [B, K, 1, n-1]
        seen = (ngrams[..., :-1] == begun).all(-1)  # [B, K, T-n+1]
        image, beam, place = np.nonzero(seen)
        log_probs[image, beam, ngrams[image, beam, place, -1]] = FORBIDDEN


def apply(rules: Sequence[Rule], log_probs: Floats, words: Ids) -> None:
    for rule in rules:
        rule(log_probs, words)
