"""Teacher-forced loss and top-5 accuracy on reference captions.

The same scores as in training (`train/validate`), but computed with a Stepper, so that an exported bundle has them too.
They do not measure the quality of generated captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from showtell.core.stepper import Stepper

TOP = 5


class TeacherForcedScore(NamedTuple):
    """Of one image's reference captions; the end of each counts as a token."""

    tokens: int
    hits: int
    """Reference tokens among the five most probable."""
    loss: float
    """Sum of the reference tokens' negative log-probabilities, in nats."""


def score_captions(
    stepper: Stepper, memory: Any, captions: Sequence[Sequence[Sequence[int]]], prompt_length: int = 1
) -> list[TeacherForcedScore]:
    """`captions`: for each of the B images of the memory, at most K captions as ids with prompt and end,
    `[P + T + 1]` each. The `prompt_length` P tokens of the prompt are read, and not scored."""
    batch, most = len(captions), max(len(references) for references in captions)
    longest = max(len(ids) for references in captions for ids in references)
    tokens = np.zeros((batch, most, longest), np.int64)
    is_token = np.zeros(tokens.shape, np.bool_)
    for image, references in enumerate(captions):
        for row, ids in enumerate(references):
            tokens[image, row, : len(ids)] = ids
            is_token[image, row, prompt_length : len(ids)] = True
    counts, hits, loss = np.zeros(batch, np.int64), np.zeros(batch, np.int64), np.zeros(batch)
    # Every image gets K rows; padding, of missing and of shorter captions, is masked.
    state = stepper.reorder(stepper.init_state(memory), np.arange(batch), np.zeros((batch, most), np.int64))
    for t in range(longest - 1):
        step = stepper.step(tokens[:, :, t], state)
        state, target, mask = step.state, tokens[:, :, t + 1], is_token[:, :, t + 1]
        target_log_probs = np.take_along_axis(step.log_probs, target[:, :, None], axis=2)
        rank = (step.log_probs > target_log_probs).sum(axis=2)
        counts += mask.sum(axis=1)
        hits += ((rank < TOP) & mask).sum(axis=1)
        loss -= np.where(mask, target_log_probs[:, :, 0], 0).sum(axis=1)
    return [TeacherForcedScore(*row) for row in zip(counts.tolist(), hits.tolist(), loss.tolist(), strict=True)]
