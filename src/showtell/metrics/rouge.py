"""ROUGE-L (Lin 2004), as pycocoevalcap computes it.

How much of a caption, and of a reference, is in their longest common subsequence: precision and recall, each the best
over the references (so not always of the same one), in an F-measure that values recall more.

A column of the textbook's table of subsequences grows by 0 or 1 from cell to cell. Here it is one integer, with a 0 bit
where it grows, and the next column is an addition away (Hyyrö 2004, Bit-parallel LCS-length computation revisited). The
columns of all pairs of captions grow together, a word of every candidate at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from showtell.metrics.ngrams import Corpus, Floats, Integers

BETA: Final = 1.2
BITS: Final = 64
"""References of more words than this are compared one by one."""


def rouge_l(corpus: Corpus) -> Floats:
    """ROUGE-L of each caption, `[B]`; that of all captions is the mean."""
    reference = np.flatnonzero(~corpus.is_candidate)
    candidate = corpus.candidate[corpus.image[reference]]
    # pycocoevalcap splits a string at its spaces, which makes one empty word of an empty string.
    both_empty = (corpus.length[reference] == 0) & (corpus.length[candidate] == 0)
    length = np.maximum(1, corpus.length)
    common = _common(corpus, candidate, reference) + both_empty

    first = corpus.references.cumsum() - corpus.references
    precision = np.maximum.reduceat(common / length[candidate], first)
    recall = np.maximum.reduceat(common / length[reference], first)
    below = recall + BETA**2 * precision
    return np.divide((1 + BETA**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0)


def _common(corpus: Corpus, candidate: Integers, reference: Integers) -> Integers:
    """Length of the longest common subsequence of each pair of captions, `[P]`."""
    begin = corpus.length.cumsum() - corpus.length
    common = np.zeros(len(candidate), np.int64)
    short = np.flatnonzero(corpus.length[reference] <= BITS)
    short = short[np.argsort(-corpus.length[candidate[short]])]  # the longest candidates first,
    words = _padded(corpus, begin[reference[short]], corpus.length[reference[short]])  # [P, BITS]
    column = np.full(len(short), 2**BITS - 1, np.uint64)
    length = corpus.length[candidate[short]]
    for place in range(length.max(initial=0)):
        going = np.count_nonzero(length > place)  # so that those which are over stand at the end
        word = corpus.word[begin[candidate[short[:going]]] + place]
        equal = np.packbits(words[:going] == word[:, None], axis=1, bitorder="little")
        matches = equal.view("<u8")[:, 0] & column[:going]
        column[:going] = (column[:going] + matches) | (column[:going] - matches)
    common[short] = np.unpackbits((~column).view(np.uint8).reshape(-1, BITS // 8), axis=1).sum(axis=1)

    for pair in np.flatnonzero(corpus.length[reference] > BITS):
        one, other = (corpus.word[begin[c] :][: corpus.length[c]].tolist() for c in (candidate[pair], reference[pair]))
        common[pair] = common_subsequence(one, other)
    return common


def _padded(corpus: Corpus, begin: Integers, length: Integers) -> Integers:
    """The words of captions, `[P, BITS]`, and -1, which is no word, after them."""
    place = np.arange(BITS)
    inside = place < length[:, None]
    words = np.full(inside.shape, -1, np.int64)
    words[inside] = corpus.word[(begin[:, None] + place)[inside]]
    return words


def common_subsequence(a: Sequence[object], b: Sequence[object]) -> int:
    """Length of the longest common subsequence of two sequences of any length: a column is an integer of any size."""
    places: dict[object, int] = {}
    for place, word in enumerate(b):
        places[word] = places.get(word, 0) | 1 << place
    all_places = (1 << len(b)) - 1
    column = all_places
    for word in a:
        matches = column & places.get(word, 0)
        column = (column + matches | column - matches) & all_places
    return len(b) - column.bit_count()
