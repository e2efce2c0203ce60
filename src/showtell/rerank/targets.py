"""What the reranker learns to predict: for each photo the mean TF-IDF vector of its captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from showtell.core.caption_ngrams import Floats, NgramTable, ngram_keys

Captions = Sequence[Sequence[int]]
"""Of one photo, as token ids without prompt and end."""


def build_table(photos: Sequence[Captions], min_photos: int, unk: int | None) -> NgramTable:
    """The n-grams in the captions of at least `min_photos` photos, and those alone: rarer ones cannot be predicted, and
    most of all n-grams are rare. `unk` is never written, so that n-grams with it are of no use.

    Raises ValueError when none is left.
    """
    frequency: Counter[int] = Counter()
    for captions in photos:
        frequency.update({key for tokens in captions for key in _keys(tokens, unk)})
    kept = sorted(key for key, count in frequency.items() if count >= min_photos)
    if not kept:
        raise ValueError(f"no n-gram is in the captions of {min_photos} photos")
    idf = np.log(len(photos)) - np.log([frequency[key] for key in kept])
    return NgramTable(np.array(kept, np.uint64), idf, float(np.log(len(photos))))


def _keys(tokens: Sequence[int], unk: int | None) -> list[int]:
    if unk is None or unk not in tokens:
        return [key for keys in ngram_keys(tokens) for key in keys.tolist()]
    words = np.array(tokens)
    orders = enumerate(ngram_keys(tokens), 1)
    return [key for n, keys in orders for i, key in enumerate(keys.tolist()) if unk not in words[i : i + n]]


def mean_vector(table: NgramTable, captions: Captions) -> Floats:
    """The mean of the captions' vectors, `[G]`."""
    total = np.zeros(len(table.keys))
    for tokens in captions:
        columns, weights = table.vector(tokens)
        total[columns] += weights
    return total / len(captions)


def reference_lengths(photos: Sequence[Captions]) -> Floats:
    """The share of captions with 0, 1, ... tokens, `[L]`."""
    counts = np.bincount([len(tokens) for captions in photos for tokens in captions])
    shares: Floats = counts / counts.sum()
    return shares
