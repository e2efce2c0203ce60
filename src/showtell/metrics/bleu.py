"""BLEU-1 to BLEU-4 (Papineni et al. 2002), as pycocoevalcap computes them.

BLEU-n is the geometric mean of the precisions of the 1- to n-grams, times a penalty for brevity. An n-gram counts
at most as often as it is in the reference that has it most often; the length to reach is that of the reference nearest
in length, the shorter of two equally near.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Final

import numpy as np
import numpy.typing as npt

LONGEST: Final = 4
_SMALL: Final = 1e-9
_TINY: Final = 1e-15
"""pycocoevalcap adds these below and above each fraction bar: no match gives almost 0, and no words are no error."""


def bleu(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """BLEU-1..4 of all captions together `[4]`, and of each by itself `[B, 4]`.

    The first is no mean of the second: the counts of all images are added before anything is divided.
    """
    counts = np.array(
        [_counts(words, others) for words, others in zip(candidates, references, strict=True)], np.float64
    )
    return _from_counts(counts.sum(axis=0)), _from_counts(counts)


def _counts(words: Sequence[str], references: Sequence[Sequence[str]]) -> list[int]:
    """`[10]`: matching 1- to 4-grams; all 1- to 4-grams; the caption's length; the length to reach."""
    seen = reduce(or_, map(_ngrams, references))  # the union of counters takes the larger count,
    matches = _ngrams(words) & seen  # their intersection the smaller
    matching = [0] * LONGEST
    for ngram, count in matches.items():
        matching[len(ngram) - 1] += count
    possible = [max(0, len(words) - n) for n in range(LONGEST)]
    nearest = min((abs(len(reference) - len(words)), len(reference)) for reference in references)[1]
    return [*matching, *possible, len(words), nearest]


def _ngrams(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(
        tuple(words[start : start + n]) for n in range(1, LONGEST + 1) for start in range(len(words) - n + 1)
    )


def _from_counts(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`[..., 10]` -> `[..., 4]`."""
    matching, possible, length, to_reach = np.split(counts, [LONGEST, 2 * LONGEST, 2 * LONGEST + 1], axis=-1)
    precisions = (matching + _TINY) / (possible + _SMALL)
    means = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, LONGEST + 1))
    ratio = (length + _TINY) / (to_reach + _SMALL)
    return np.asarray(means * np.exp(np.minimum(0, 1 - 1 / ratio)), np.float64)
