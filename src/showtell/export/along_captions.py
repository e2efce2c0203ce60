"""What a network says at every token of given captions: the ground on which two networks are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from showtell.core.search import Hypothesis
from showtell.core.stepper import Ids, Stepper

Captions = list[tuple[Hypothesis, Hypothesis]]
"""Of each image, those of the two networks."""


class Outputs(NamedTuple):
    """A network's output at every token of K captions of each image."""

    log_probs: NDArray[Any]
    """[B, K, T, V]"""
    attention: NDArray[Any] | None
    """[B, K, T, S]"""


def pad_captions(captions: Captions, prompt: Sequence[int]) -> tuple[Ids, NDArray[np.bool_]]:
    """The input tokens, the prompt first, and the mask of what is no padding: [B, 2, T] each.

    The last token of a caption that breaks off without an end is no input: nothing comes after it, and the network may
    have no position for it.
    """
    inputs = [[[*prompt, *caption.tokens][: _steps(caption, prompt)] for caption in pair] for pair in captions]
    longest = max(len(tokens) for pair in inputs for tokens in pair)
    tokens = np.full((len(captions), 2, longest), prompt[0], np.int64)
    mask = np.zeros(tokens.shape, np.bool_)
    for image, pair in enumerate(inputs):
        for k, caption in enumerate(pair):
            tokens[image, k, : len(caption)] = caption
            mask[image, k, : len(caption)] = True
    return tokens, mask


def generated_log_probs(
    log_probs: NDArray[Any], image: int, k: int, caption: Hypothesis, prompt: Sequence[int], eos_id: int
) -> NDArray[Any]:
    """What `log_probs` [B, K, T, V] say of the caption's own tokens and of its end, if it has one: as many values as
    `caption.log_probs`."""
    tokens = [*caption.tokens, eos_id][: len(caption.log_probs)]
    steps = np.arange(len(prompt) - 1, _steps(caption, prompt))
    values: NDArray[Any] = log_probs[image, k, steps, tokens]
    return values


def step_through(stepper: Stepper, memory: Any, tokens: Ids) -> Outputs:
    """Step by step, as in search, but along given captions `tokens` [B, K, T]."""
    batch, rows, length = tokens.shape
    state = stepper.reorder(stepper.init_state(memory), np.arange(batch), np.zeros((batch, rows), np.int64))
    log_probs, attention = [], []
    for t in range(length):
        step = stepper.step(np.ascontiguousarray(tokens[:, :, t]), state)
        state = step.state
        log_probs.append(step.log_probs)
        if step.attention is not None:
            attention.append(step.attention)
    return Outputs(np.stack(log_probs, 2), np.stack(attention, 2) if attention else None)


def _steps(caption: Hypothesis, prompt: Sequence[int]) -> int:
    """Tokens that search gave the network."""
    return len(prompt) - 1 + len(caption.log_probs)
