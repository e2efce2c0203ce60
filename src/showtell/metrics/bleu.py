"""BLEU-1 to BLEU-4 (Papineni et al. 2002), as pycocoevalcap computes them.

BLEU-n is the geometric mean of the clipped precisions of 1- to n-grams, times the brevity penalty. An n-gram counts at
most as often as in the reference that has it most often. The reference length is that of the reference closest in
length; of two equally close ones, the shorter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from showtell.metrics.ngrams import MAX_N, Corpus, Floats, Integers, NgramCounts

_SMALL: Final = 1e-9
_TINY: Final = 1e-15
"""pycocoevalcap adds these to denominators and numerators: no match gives almost 0, and no words are no error."""


def bleu_stats(corpus: Corpus, ngrams: Iterable[NgramCounts]) -> Integers:
    """Sufficient statistics of BLEU, `[B, 10]`: clipped matches of 1- to 4-grams; totals of 1- to 4-grams; candidate
    length; reference length. Statistics of several images are the sums of their rows."""
    images = len(corpus.candidates)
    matches = [
        np.bincount(counts.image_ids, np.minimum(counts.candidate_counts, counts.max_reference_counts), images)
        for counts in ngrams
    ]
    lengths = corpus.lengths[corpus.candidates]
    totals = [np.maximum(0, lengths - n) for n in range(MAX_N)]
    return np.stack([*matches, *totals, lengths, _closest_reference_lengths(corpus)], axis=-1).astype(np.int64)


def bleu_from_stats(stats: Integers | Floats) -> Floats:
    """`[..., 10]` from `bleu_stats` -> BLEU-1..4 `[..., 4]`.

    Corpus BLEU is computed from summed statistics; it is not the mean of sentence BLEUs.
    """
    matches, totals, length, reference_length = np.split(stats, [MAX_N, 2 * MAX_N, 2 * MAX_N + 1], axis=-1)
    precisions = (matches + _TINY) / (totals + _SMALL)
    geometric_means = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, MAX_N + 1))
    ratio = (length + _TINY) / (reference_length + _SMALL)
    return np.asarray(geometric_means * np.exp(np.minimum(0, 1 - 1 / ratio)), np.float64)


def _closest_reference_lengths(corpus: Corpus) -> Integers:
    """`[B]`"""
    references = np.flatnonzero(~corpus.is_candidate)
    lengths, image_ids = corpus.lengths[references], corpus.image_ids[references]
    distances = np.abs(lengths - corpus.lengths[corpus.candidates][image_ids])
    # Distance and length in one number: the minimum is the closest, and of equally close ones the shorter.
    base = corpus.lengths.max() + 1
    first = corpus.reference_counts.cumsum() - corpus.reference_counts
    closest = np.minimum.reduceat(distances * base + lengths, first)
    return np.asarray(closest % base, np.int64)
