"""ROUGE-L (Lin 2004), as pycocoevalcap computes it.

How much of a caption, and of a reference, is in their longest common subsequence: precision and recall, each the best
over the references (so not always of the same one), in an F-measure that values recall more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

BETA: Final = 1.2


def rouge_l(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> npt.NDArray[np.float64]:
    """ROUGE-L of each caption, `[B]`; that of all captions is the mean."""
    return np.array([_rouge_l(words, others) for words, others in zip(candidates, references, strict=True)], np.float64)


def _rouge_l(words: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    # pycocoevalcap splits a string at its spaces, which makes one empty word of an empty string.
    words = words or [""]
    references = [reference or [""] for reference in references]
    common = [common_subsequence(words, reference) for reference in references]
    precision = max(common) / len(words)
    recall = max(length / len(reference) for length, reference in zip(common, references, strict=True))
    if precision == 0:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    A column of the textbook's table grows by 0 or 1 from cell to cell; here it is one integer, with a 0 bit where it
    grows, and the next column is an addition away (Hyyrö 2004, Bit-parallel LCS-length computation revisited).
    """
    places: dict[str, int] = {}
    for place, word in enumerate(b):
        places[word] = places.get(word, 0) | 1 << place
    all_places = (1 << len(b)) - 1
    column = all_places
    for word in a:
        matches = column & places.get(word, 0)
        column = (column + matches | column - matches) & all_places
    return len(b) - column.bit_count()
