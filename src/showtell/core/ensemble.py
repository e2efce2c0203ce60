"""Several networks that write one sentence together.

At every step each of them says how probable every next word is, and the ensemble's probability is the arithmetic mean;
all of them then read the word that was chosen. Sutskever et al. 2014 (section 3.6) and Vinyals et al. 2016 ("Show and
Tell: Lessons learned from the 2015 MSCOCO Image Captioning Challenge", on ensembling) write with ensembles. It costs as
much time and memory as its members do one after the other.

The alternative, the mean of the logarithms, gives each member a veto over words, and is no distribution until it has
been divided by its sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from showtell.core.bundle import Bundle
from showtell.core.stepper import Floats, Ids, Step, Stepper
from showtell.errors import BadBundle


class Ensemble:
    """A Stepper made of Steppers that write the same vocabulary."""

    def __init__(self, members: Sequence[Stepper]) -> None:
        self.members = tuple(members)

    def encode(self, pixels: Sequence[Any]) -> list[Any]:
        """`pixels`: of the same B images for each member, as that member wants them."""
        return [member.encode(each) for member, each in zip(self.members, pixels, strict=True)]

    def start(self, memory: list[Any]) -> list[Any]:
        return [member.start(each) for member, each in zip(self.members, memory, strict=True)]

    def step(self, tokens: Ids, state: list[Any]) -> Step:
        """Attention is the members' mean; `None` unless all can say where they looked, among equally many regions."""
        steps = [member.step(tokens, each) for member, each in zip(self.members, state, strict=True)]
        log_probs = log_mean_exp([step.log_probs for step in steps])
        return Step(log_probs, [step.state for step in steps], _mean([step.attention for step in steps]))

    def select(self, state: list[Any], images: Ids, beams: Ids) -> list[Any]:
        return [member.select(each, images, beams) for member, each in zip(self.members, state, strict=True)]


def log_mean_exp(logs: Sequence[Floats]) -> Floats:
    """The logarithm of the mean of what these are the logarithms of; all of one shape, minus infinity allowed."""
    stacked = np.stack(logs)
    highest = stacked.max(0)
    highest[np.isneginf(highest)] = 0  # a difference of infinities would be no number
    # Relative to the highest, so that what is too small for a float32 is lost only beside something far greater.
    stacked -= highest
    mean = np.exp(stacked, out=stacked).sum(0) / np.float32(len(logs))
    with np.errstate(divide="ignore"):
        found: Floats = np.log(mean) + highest
    return found


def _mean(maps: Sequence[Floats | None]) -> Floats | None:
    known = [each for each in maps if each is not None]
    if len(known) < len(maps) or len({each.shape for each in known}) > 1:
        return None
    mean: Floats = np.mean(known, axis=0)
    return mean


def check_together(bundles: Sequence[Bundle]) -> None:
    """Raises BadBundle unless all write the same words and languages; it names the first two that do not."""
    first, *others = bundles
    for other in others:
        one, two = first.manifest, other.manifest
        if one.files["tokenizer.json"].sha256 != two.files["tokenizer.json"].sha256:
            raise BadBundle(
                f"{other.path} writes other words than {first.path}; expected one vocabulary: train both on the same "
                "captions with the same text settings, or begin one with the other's run (train.start_from)"
            )
        if set(one.languages) != set(two.languages):
            raise BadBundle(
                f"{other.path}: found languages {', '.join(two.languages)}; expected {', '.join(one.languages)}, as "
                f"{first.path} has them; train both with the same text.languages"
            )
