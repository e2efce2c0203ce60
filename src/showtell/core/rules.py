"""Constraints on search: masks over log-probabilities (Hugging Face: logits processors).

A rule is called with the log-probabilities of the next token `[B, K, V]` and the tokens so far `[B, K, T]`, and sets
those of forbidden tokens to minus infinity. The others are not renormalised: a score stays the network's own. Lengths
and n-grams count tokens, which are words or subwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from showtell.core.stepper import Floats, Ids

FORBIDDEN = -np.inf


class Rule(Protocol):
    def __call__(self, log_probs: Floats, tokens: Ids) -> None: ...


class Ban:
    """Token ids that are never generated, such as `<unk>`, `<pad>` and the start tokens."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)

    def __call__(self, log_probs: Floats, tokens: Ids) -> None:
        log_probs[:, :, self.ids] = FORBIDDEN


class MinLength:
    """No end before `length` tokens."""

    def __init__(self, length: int, eos: int) -> None:
        self.length, self.eos = length, eos

    def __call__(self, log_probs: Floats, tokens: Ids) -> None:
        if tokens.shape[2] < self.length:
            log_probs[:, :, self.eos] = FORBIDDEN


class MaxLength:
    """Only the end token after `length` tokens, so that every caption is a sentence with an end.

    Rejected as a default: truncation without the end's probability, which ranks fragments above complete sentences.
    Imported models do it (`DecodeSettings.truncate`), as the search they were made with.
    """

    def __init__(self, length: int, eos: int) -> None:
        self.length, self.eos = length, eos

    def __call__(self, log_probs: Floats, tokens: Ids) -> None:
        if tokens.shape[2] >= self.length:
            log_probs[:, :, : self.eos] = FORBIDDEN
            log_probs[:, :, self.eos + 1 :] = FORBIDDEN


class NoBadEnding:
    """No end after one of `ids` (a, the, of ...); nor any of them as the last token that `max_length` allows."""

    def __init__(self, ids: Sequence[int], eos: int, max_length: int) -> None:
        self.ids, self.eos, self.max_length = np.asarray(ids, dtype=np.int64), eos, max_length

    def __call__(self, log_probs: Floats, tokens: Ids) -> None:
        length = tokens.shape[2]
        if length:
            log_probs[np.isin(tokens[:, :, -1], self.ids), self.eos] = FORBIDDEN
        if length == self.max_length - 1:
            log_probs[:, :, self.ids] = FORBIDDEN


class NoRepeatNgram:
    """An n-gram occurs once per caption (Paulus, Xiong & Socher 2017, section 2.5, for n = 3), the `prompt` that all
    images' captions begin with included."""

    def __init__(self, n: int, prompt: Sequence[int] = ()) -> None:
        self.n, self.prompt = n, np.asarray(prompt, np.int64)

    def __call__(self, log_probs: Floats, tokens: Ids) -> None:
        prompts = np.broadcast_to(self.prompt, (*tokens.shape[:2], len(self.prompt)))
        tokens = np.concatenate([prompts, tokens], 2)
        length = tokens.shape[2]
        if length < self.n:
            return
        ngrams = np.lib.stride_tricks.sliding_window_view(tokens, self.n, axis=2)  # [B, K, T-n+1, n]
        prefix = tokens[:, :, None, length - self.n + 1 :]  # [B, K, 1, n-1]
        repeated = (ngrams[..., :-1] == prefix).all(-1)  # [B, K, T-n+1]
        image, beam, start = np.nonzero(repeated)
        log_probs[image, beam, ngrams[image, beam, start, -1]] = FORBIDDEN


def apply(rules: Sequence[Rule], log_probs: Floats, tokens: Ids) -> None:
    for rule in rules:
        rule(log_probs, tokens)
