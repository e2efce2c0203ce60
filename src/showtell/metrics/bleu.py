"""BLEU-1 to BLEU-4 (Papineni et al. 2002), as pycocoevalcap computes them.

BLEU-n is the geometric mean of the precisions of the 1- to n-grams, times a penalty for brevity. An n-gram counts
at most as often as it is in the reference that has it most often; the length to reach is that of the reference nearest
in length, the shorter of two equally near.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from showtell.metrics.ngrams import LONGEST, Corpus, Floats, Integers, Ngrams

_SMALL: Final = 1e-9
_TINY: Final = 1e-15
"""pycocoevalcap adds these below and above each fraction bar: no match gives almost 0, and no words are no error."""


def bleu_counts(corpus: Corpus, ngrams: Iterable[Ngrams]) -> Integers:
    """What BLEU is computed from, `[B, 10]`: matching 1- to 4-grams; all 1- to 4-grams; the caption's length; the
    length to reach. Sums of rows are the counts of several images."""
    images = len(corpus.candidate)
    matching = [np.bincount(of.image, np.minimum(of.said, of.most), images) for of in ngrams]
    length = corpus.length[corpus.candidate]
    possible = [np.maximum(0, length - n) for n in range(LONGEST)]
    return np.stack([*matching, *possible, length, _nearest_length(corpus)], axis=-1).astype(np.int64)


def bleu(counts: Integers | Floats) -> Floats:
    """`[..., 10]`, see `bleu_counts`, -> BLEU-1..4 `[..., 4]`.

    BLEU of many captions is that of their summed counts, and no mean of BLEUs.
    """
    matching, possible, length, to_reach = np.split(counts, [LONGEST, 2 * LONGEST, 2 * LONGEST + 1], axis=-1)
    precisions = (matching + _TINY) / (possible + _SMALL)
    means = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, LONGEST + 1))
    ratio = (length + _TINY) / (to_reach + _SMALL)
    return np.asarray(means * np.exp(np.minimum(0, 1 - 1 / ratio)), np.float64)


def _nearest_length(corpus: Corpus) -> Integers:
    """Of the reference nearest in length, `[B]`."""
    reference = np.flatnonzero(~corpus.is_candidate)
    length, image = corpus.length[reference], corpus.image[reference]
    distance = np.abs(length - corpus.length[corpus.candidate][image])
    longer = corpus.length.max() + 1
    nearest = np.minimum.reduceat(distance * longer + length, corpus.references.cumsum() - corpus.references)
    return np.asarray(nearest % longer, np.int64)
