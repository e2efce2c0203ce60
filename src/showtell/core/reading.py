"""How well a network continues sentences that people wrote: the true words are read, not its own.

The same figures as in training (`train/validate`), but of a Stepper, so that an exported bundle has them, too. They say
nothing about the captions that a network writes by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from showtell.core.stepper import Stepper

LIKELIEST = 5


class Reading(NamedTuple):
    """Of one image's captions, the end of each counted as a word."""

    words: int
    hits: int
    """How many of the true words were among the five likeliest."""
    loss: float
    """Sum of the negative natural logarithms of the true words' probabilities."""


def read_captions(stepper: Stepper, memory: Any, captions: Sequence[Sequence[Sequence[int]]]) -> list[Reading]:
    """`captions`: of each of the B images of the memory, as ids with start and end, K at most; `[T + 2]` each."""
    batch, widest = len(captions), max(len(each) for each in captions)
    longest = max(len(ids) for each in captions for ids in each)
    tokens = np.zeros((batch, widest, longest), np.int64)
    real = np.zeros(tokens.shape, np.bool_)
    for image, each in enumerate(captions):
        for row, ids in enumerate(each):
            tokens[image, row, : len(ids)] = ids
            real[image, row, : len(ids)] = True
    words, hits, loss = np.zeros(batch, np.int64), np.zeros(batch, np.int64), np.zeros(batch)
    # Every image gets K rows; where it has fewer captions, or shorter ones, what the network says is passed over.
    state = stepper.select(stepper.start(memory), np.arange(batch), np.zeros((batch, widest), np.int64))
    for place in range(longest - 1):
        step = stepper.step(tokens[:, :, place], state)
        state, true, counts = step.state, tokens[:, :, place + 1], real[:, :, place + 1]
        of_true = np.take_along_axis(step.log_probs, true[:, :, None], axis=2)
        better = (step.log_probs > of_true).sum(axis=2)
        words += counts.sum(axis=1)
        hits += ((better < LIKELIEST) & counts).sum(axis=1)
        loss -= np.where(counts, of_true[:, :, 0], 0).sum(axis=1)
    return [Reading(*row) for row in zip(words.tolist(), hits.tolist(), loss.tolist(), strict=True)]
