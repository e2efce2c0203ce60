"""ROUGE-L (Lin 2004), as pycocoevalcap computes it.

The F-measure (beta 1.2, which favours recall) of precision and recall of the longest common subsequence (LCS). Each of
the two is the best over the references, so they may come from different references.

In the textbook's dynamic programming table a column grows by 0 or 1 from cell to cell. Here a column is one integer
with a 0 bit where it grows, and the next column needs one addition (Hyyrö 2004, Bit-parallel LCS-length computation
revisited). The columns of all (candidate, reference) pairs advance together, one candidate word at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from showtell.metrics.ngrams import Corpus, Floats, Integers

BETA: Final = 1.2
COLUMN_BITS: Final = 64
"""References of more words than this are compared one by one."""


def rouge_l(corpus: Corpus) -> Floats:
    """ROUGE-L of each image, `[B]`; corpus ROUGE-L is the mean."""
    references = np.flatnonzero(~corpus.is_candidate)
    candidates = corpus.candidates[corpus.image_ids[references]]
    # pycocoevalcap splits a string at its spaces, which makes one empty word of an empty string.
    both_empty = (corpus.lengths[references] == 0) & (corpus.lengths[candidates] == 0)
    lengths = np.maximum(1, corpus.lengths)
    lcs = _lcs_lengths(corpus, candidates, references) + both_empty

    first = corpus.reference_counts.cumsum() - corpus.reference_counts
    precision = np.maximum.reduceat(lcs / lengths[candidates], first)
    recall = np.maximum.reduceat(lcs / lengths[references], first)
    denominator = recall + BETA**2 * precision
    numerator = (1 + BETA**2) * precision * recall
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)


def _lcs_lengths(corpus: Corpus, candidates: Integers, references: Integers) -> Integers:
    """LCS length of each pair of captions, `[P]`."""
    starts = corpus.lengths.cumsum() - corpus.lengths
    lcs = np.zeros(len(candidates), np.int64)
    short = np.flatnonzero(corpus.lengths[references] <= COLUMN_BITS)
    # Longest candidates first, so that pairs whose candidate has ended are at the end.
    short = short[np.argsort(-corpus.lengths[candidates[short]])]
    reference_words = _padded(corpus, starts[references[short]], corpus.lengths[references[short]])  # [P, COLUMN_BITS]
    columns = np.full(len(short), 2**COLUMN_BITS - 1, np.uint64)
    candidate_lengths = corpus.lengths[candidates[short]]
    for position in range(candidate_lengths.max(initial=0)):
        active = np.count_nonzero(candidate_lengths > position)
        words = corpus.word_ids[starts[candidates[short[:active]]] + position]
        equal = np.packbits(reference_words[:active] == words[:, None], axis=1, bitorder="little")
        matches = equal.view("<u8")[:, 0] & columns[:active]
        columns[:active] = (columns[:active] + matches) | (columns[:active] - matches)
    lcs[short] = np.unpackbits((~columns).view(np.uint8).reshape(-1, COLUMN_BITS // 8), axis=1).sum(axis=1)

    for pair in np.flatnonzero(corpus.lengths[references] > COLUMN_BITS):
        a, b = (
            corpus.word_ids[starts[caption] :][: corpus.lengths[caption]].tolist()
            for caption in (candidates[pair], references[pair])
        )
        lcs[pair] = lcs_length(a, b)
    return lcs


def _padded(corpus: Corpus, starts: Integers, lengths: Integers) -> Integers:
    """Word ids of captions, padded with -1, `[P, COLUMN_BITS]`."""
    positions = np.arange(COLUMN_BITS)
    inside = positions < lengths[:, None]
    words = np.full(inside.shape, -1, np.int64)
    words[inside] = corpus.word_ids[(starts[:, None] + positions)[inside]]
    return words


def lcs_length(a: Sequence[object], b: Sequence[object]) -> int:
    """Length of the longest common subsequence of two sequences of any length: a column is a Python integer."""
    positions: dict[object, int] = {}
    for position, word in enumerate(b):
        positions[word] = positions.get(word, 0) | 1 << position
    mask = (1 << len(b)) - 1
    column = mask
    for word in a:
        matches = column & positions.get(word, 0)
        column = (column + matches | column - matches) & mask
    return len(b) - column.bit_count()
