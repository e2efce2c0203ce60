"""Ensembles: several networks that decode one sentence together.

At every step the ensemble's probability of a token is the arithmetic mean of its members'; all members then read the
token that was chosen. Sutskever et al. 2014 (section 3.6) and Vinyals et al. 2016 ("Show and
Tell: Lessons learned from the 2015 MSCOCO Image Captioning Challenge", on ensembling) decode with ensembles. Time and
memory are the sum of the members'.

Rejected: the mean of the log-probabilities. It gives each member a veto over tokens, and is no distribution until it is
normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from showtell.core.bundle import Bundle, Manifest
from showtell.core.candidates import best_tokens
from showtell.core.pixels import share_after_cut
from showtell.core.stepper import Floats, Ids, Step, Stepper
from showtell.errors import BadBundle


class Ensemble:
    """A Stepper made of Steppers with the same vocabulary."""

    def __init__(self, members: Sequence[Stepper]) -> None:
        self.members = tuple(members)

    def encode(self, pixels: Sequence[Any]) -> list[Any]:
        """`pixels`: the same B images for each member, in that member's preprocessing."""
        return [member.encode(images) for member, images in zip(self.members, pixels, strict=True)]

    def init_state(self, memory: list[Any]) -> list[Any]:
        return [member.init_state(own) for member, own in zip(self.members, memory, strict=True)]

    def step(self, tokens: Ids, state: list[Any], best: int | None = None) -> Step:
        """Attention is the members' mean; `None` unless all have attention over equally many regions."""
        steps = [member.step(tokens, own) for member, own in zip(self.members, state, strict=True)]
        log_probs = log_mean_exp([step.log_probs for step in steps])
        states, attention = [step.state for step in steps], _mean([step.attention for step in steps])
        if best is None:
            return Step(log_probs, states, attention)
        found = best_tokens(log_probs, best)
        return Step(found.log_probs, states, attention, found.tokens)

    def reorder(self, state: list[Any], images: Ids, beams: Ids) -> list[Any]:
        return [member.reorder(own, images, beams) for member, own in zip(self.members, state, strict=True)]


def log_mean_exp(logs: Sequence[Floats]) -> Floats:
    """log(mean(exp(logs))), elementwise over arrays of one shape; minus infinity is allowed."""
    stacked = np.stack(logs)
    highest = stacked.max(0)
    highest[np.isneginf(highest)] = 0  # inf - inf would be NaN
    # Relative to the highest, so that only terms negligible beside it underflow.
    stacked -= highest
    mean = np.exp(stacked, out=stacked).sum(0) / np.float32(len(logs))
    with np.errstate(divide="ignore"):
        result: Floats = np.log(mean) + highest
    return result


def _mean(maps: Sequence[Floats | None]) -> Floats | None:
    arrays = [array for array in maps if array is not None]
    if len(arrays) < len(maps) or len({array.shape for array in arrays}) > 1:
        return None
    mean: Floats = np.mean(arrays, axis=0)
    return mean


def has_common_grid(manifests: Sequence[Manifest]) -> bool:
    """Whether the regions of all models are the same parts of a photo: only then can their maps be averaged."""
    return len({(m.grid, m.prefix_regions, m.pixels.crop_mode, share_after_cut(m.pixels)) for m in manifests}) == 1


def check_together(bundles: Sequence[Bundle]) -> None:
    """Raises BadBundle unless all have the same vocabulary and languages; names the first two that differ."""
    first, *others = bundles
    for other in others:
        one, two = first.manifest, other.manifest
        if one.files["tokenizer.json"].sha256 != two.files["tokenizer.json"].sha256:
            raise BadBundle(
                f"{other.path} has another vocabulary than {first.path}; expected the same one: train both on the same "
                "captions with the same text settings, or start one from the other's run (train.start_from)"
            )
        if (one.vocab_size, one.imported_text) != (two.vocab_size, two.imported_text):
            raise BadBundle(
                f"{other.path} begins or ends its captions with other tokens than {first.path}; expected models "
                "that were imported from the same model, or trained from it"
            )
        if set(one.languages) != set(two.languages):
            raise BadBundle(
                f"{other.path}: found languages {', '.join(two.languages)}; expected {', '.join(one.languages)}, as "
                f"{first.path} has them; train both with the same text.languages"
            )
