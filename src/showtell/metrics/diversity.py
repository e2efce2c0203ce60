"""What the usual metrics overlook: a model that says the same of every image, or stops in the middle of a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BAD_ENDINGS: Final = frozenset(["a", "an", "the", "of", "and", "with", "in", "on", "to", "at"])
"""English words after which a sentence has to go on."""


def different(captions: Sequence[Sequence[str]]) -> float:
    """How many captions there would be without repetitions, as a share of how many there are."""
    return len({tuple(words) for words in captions}) / len(captions)


def bad_endings(captions: Sequence[Sequence[str]]) -> float:
    """Share of the captions whose last word is one of `BAD_ENDINGS`."""
    return sum(bool(words) and words[-1] in BAD_ENDINGS for words in captions) / len(captions)
