"""Captions as TF-IDF vectors of n-grams, n = 1..4, over token ids: the vectors of CIDEr (Vedantam et al. 2015).

For each n the vector of a caption has length 1, so that CIDEr, without its clipping and its length penalty, is 10 / 4
times the sum of dot products with a reference's vectors. An n-gram is one 64-bit key, 16 bits for each token; so a
vocabulary may have 65,535 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_N: Final = 4
TOKEN_BITS: Final = 64 // MAX_N
MAX_TOKENS: Final = (1 << TOKEN_BITS) - 1
"""A token is its id + 1, so that no n-gram is the beginning of another's key."""

_LONGER: Final = np.array([1 << (TOKEN_BITS * n) for n in range(1, MAX_N)], np.uint64)
"""The least keys of n-grams with 2, 3 and 4 tokens."""

Keys = NDArray[np.uint64]
Columns = NDArray[np.int64]
Floats = NDArray[np.float64]


def ngram_keys(tokens: Sequence[int] | NDArray[np.int64]) -> list[Keys]:
    """The keys of the n-grams of a caption's ids, with repetitions, for each n from 1 to 4."""
    ids = np.asarray(tokens, np.uint64) + np.uint64(1)
    keys, orders = ids, []
    for n in range(1, MAX_N + 1):
        orders.append(keys)
        keys = (keys[:-1] << np.uint64(TOKEN_BITS)) | ids[n:]
    return orders


@dataclass(frozen=True)
class NgramTable:
    """The n-grams that count."""

    keys: Keys
    """`[G]`, ascending."""
    idf: Floats
    """`[G]`: inverse document frequencies, natural logarithms."""
    unseen_idf: float
    """Of every other n-gram. It has no column, but makes the others of its caption count for less."""

    def vector(self, tokens: Sequence[int] | NDArray[np.int64]) -> tuple[Columns, Floats]:
        """The columns of a caption's n-grams in this table, and their weights."""
        distinct, counts = np.unique(np.concatenate(ngram_keys(tokens)), return_counts=True)
        places = np.minimum(np.searchsorted(self.keys, distinct), len(self.keys) - 1)
        known = self.keys[places] == distinct
        tf_idf = counts * np.where(known, self.idf[places], self.unseen_idf)
        order = np.searchsorted(_LONGER, distinct, side="right")  # n - 1
        norms = np.sqrt(np.bincount(order, tf_idf**2, MAX_N))
        norms[norms == 0] = 1  # n-grams that every image has weigh 0
        return places[known], (tf_idf / norms[order])[known]
