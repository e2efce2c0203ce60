"""N-gram counts of many captions in arrays: the input of BLEU, CIDEr and self-CIDEr.

All captions are stored in one row of word ids; captions of an image are adjacent, its candidate first. After sorting by
(n-gram, caption), equal n-grams of a caption are adjacent, and so are those of an image's captions. One sort for each n
gives how often a caption has an n-gram, how often its image's references have it, and in how many images it occurs.

Rejected: a Counter per caption. It spends its time on hashing tuples; the tests use it as the specification.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

MAX_N: Final = 4
"""Length of the longest n-grams."""
_INT64_MAX: Final = 2**63 - 1

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


class Corpus(NamedTuple):
    """B images with N captions (candidates and references) of L words in total."""

    word_ids: Integers
    """`[L]`"""
    caption_ids: Integers
    """`[L]`: the caption of each word."""
    lengths: Integers
    """`[N]`: words per caption."""
    image_ids: Integers
    """`[N]`: the image of each caption, ascending."""
    candidates: Integers
    """`[B]`: index of each image's candidate among the captions; its references follow."""
    vocab_size: int
    """Word ids are below this."""

    @property
    def is_candidate(self) -> Booleans:
        """`[N]`"""
        mask = np.zeros(len(self.image_ids), np.bool_)
        mask[self.candidates] = True
        return mask

    @property
    def reference_counts(self) -> Integers:
        """`[B]`: references per image."""
        return np.diff(np.append(self.candidates, len(self.image_ids))) - 1


def build_corpus(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Corpus:
    """One tokenized candidate and one or more tokenized references for each of B images."""
    captions = [words for one, refs in zip(candidates, references, strict=True) for words in chain((one,), refs)]
    captions_per_image = np.fromiter(map(len, references), np.int64, len(references)) + 1
    lengths = np.fromiter(map(len, captions), np.int64, len(captions))
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__
    word_ids = np.fromiter(map(vocabulary.__getitem__, chain.from_iterable(captions)), np.int64, lengths.sum())
    return Corpus(
        word_ids=word_ids,
        caption_ids=np.repeat(np.arange(len(captions)), lengths),
        lengths=lengths,
        image_ids=np.repeat(np.arange(len(references)), captions_per_image),
        candidates=captions_per_image.cumsum() - captions_per_image,
        vocab_size=len(vocabulary),
    )


class NgramCounts(NamedTuple):
    """Distinct n-grams of one order n.

    E entries are the distinct n-grams of each caption; G groups are the distinct n-grams of each image. The entries of
    a group are adjacent.
    """

    caption_ids: Integers
    """`[E]`"""
    counts: Integers
    """`[E]`: occurrences in the caption."""
    group_ids: Integers
    """`[E]`"""
    image_ids: Integers
    """`[G]`"""
    ngram_ids: Integers
    """`[G]`"""
    candidate_counts: Integers
    """`[G]`: occurrences in the candidate."""
    max_reference_counts: Integers
    """`[G]`: the largest number of occurrences in any one reference."""


def count_ngrams(corpus: Corpus) -> Iterator[NgramCounts]:
    """Yields the counts for n = 1..4."""
    is_candidate = corpus.is_candidate
    num_words = len(corpus.word_ids)
    words_left = np.repeat(corpus.lengths.cumsum(), corpus.lengths) - np.arange(num_words)  # to the caption's end
    starts = np.arange(num_words)
    keys = corpus.word_ids
    for n in range(1, MAX_N + 1):
        if n > 1:
            complete = np.flatnonzero(words_left[starts] >= n)
            # One number for two: the id of the n-gram without its last word, and the id of that word.
            starts, keys = (
                starts[complete],
                keys[complete] * corpus.vocab_size + corpus.word_ids[starts[complete] + n - 1],
            )
        order = _sort_order(keys, corpus.caption_ids[starts], len(corpus.image_ids))
        caption_ids, sorted_keys = corpus.caption_ids[starts[order]], keys[order]
        new_ngram = _run_starts(sorted_keys)
        entries = np.flatnonzero(new_ngram | _run_starts(caption_ids))
        counts = np.diff(entries, append=len(order))
        # From here on arrays are per entry, not per word.
        caption_ids, new_ngram = caption_ids[entries], new_ngram[entries]
        image_ids, ngram_ids = corpus.image_ids[caption_ids], new_ngram.cumsum() - 1
        new_group = new_ngram | _run_starts(image_ids)
        first = np.flatnonzero(new_group)  # first entry of each group: the candidate's, if it has the n-gram
        in_candidate = is_candidate[caption_ids]
        yield NgramCounts(
            caption_ids=caption_ids,
            counts=counts,
            group_ids=new_group.cumsum() - 1,
            image_ids=image_ids[first],
            ngram_ids=ngram_ids[first],
            candidate_counts=np.where(in_candidate[first], counts[first], 0),
            max_reference_counts=np.maximum.reduceat(np.where(in_candidate, 0, counts), first) if len(first) else first,
        )
        # N-grams are renumbered for each n: powers of the vocabulary size would soon overflow 64 bits.
        keys = np.empty_like(keys)
        keys[order] = np.repeat(ngram_ids, counts)


def _sort_order(keys: Integers, caption_ids: Integers, num_captions: int) -> Integers:
    """Indices that sort by (key, caption). `caption_ids` must be ascending."""
    if keys.max(initial=0) < _INT64_MAX // num_captions:
        return np.argsort(keys * num_captions + caption_ids)  # numpy sorts one key six times as fast as it sorts stably
    return np.argsort(keys, kind="stable")


def _run_starts(values: Integers) -> Booleans:
    """True where a value differs from the previous one, and for the first value."""
    mask = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=mask[1:])
    return mask
