"""The n-grams of many captions, counted together in arrays: what BLEU and CIDEr are made of.

Captions stand in one row of words, those of an image beside each other and its candidate first. Sorted by n-gram and
caption, equal n-grams of a caption are neighbours, and so are those of an image's captions: one sort for each n
answers how often a caption has an n-gram, how often its image's references have it, and in how many images it is.

Rejected: a Counter per caption, which spends its time on hashing tuples; it is the specification in the tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

LONGEST: Final = 4
_LARGEST: Final = 2**63 - 1

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


class Corpus(NamedTuple):
    """B images, N captions (candidates and references), L words."""

    word: Integers
    """`[L]`: a number for each word."""
    caption: Integers
    """`[L]`: whose word it is."""
    length: Integers
    """`[N]`, in words."""
    image: Integers
    """`[N]`: whose caption it is, ascending."""
    candidate: Integers
    """`[B]`: which caption is an image's candidate; its references follow."""
    vocabulary: int
    """Numbers of words are below this."""

    @property
    def is_candidate(self) -> Booleans:
        """`[N]`"""
        found = np.zeros(len(self.image), np.bool_)
        found[self.candidate] = True
        return found

    @property
    def references(self) -> Integers:
        """`[B]`: how many an image has."""
        return np.diff(np.append(self.candidate, len(self.image))) - 1


def number(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Corpus:
    """One candidate and one or more references for each of B images."""
    captions = [words for one, others in zip(candidates, references, strict=True) for words in chain((one,), others)]
    per_image = np.fromiter(map(len, references), np.int64, len(references)) + 1
    length = np.fromiter(map(len, captions), np.int64, len(captions))
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    word = np.fromiter(map(numbers.__getitem__, chain.from_iterable(captions)), np.int64, length.sum())
    return Corpus(
        word=word,
        caption=np.repeat(np.arange(len(captions)), length),
        length=length,
        image=np.repeat(np.arange(len(references)), per_image),
        candidate=per_image.cumsum() - per_image,
        vocabulary=len(numbers),
    )


class Ngrams(NamedTuple):
    """The different n-grams of each caption, for one n, and those of each image's captions taken together.

    E entries are n-grams of captions, G groups are n-grams of images. A group's entries follow each other.
    """

    caption: Integers
    """`[E]`"""
    times: Integers
    """`[E]`: how often the caption has the n-gram."""
    group: Integers
    """`[E]`"""
    image: Integers
    """`[G]`"""
    ngram: Integers
    """`[G]`: a number for each n-gram."""
    said: Integers
    """`[G]`: how often the candidate has it."""
    most: Integers
    """`[G]`: how often that reference has it that has it most often."""


def count(corpus: Corpus) -> Iterator[Ngrams]:
    """For n = 1..4."""
    is_candidate = corpus.is_candidate
    left = np.repeat(corpus.length.cumsum(), corpus.length) - np.arange(len(corpus.word))  # words to the caption's end
    start = np.arange(len(corpus.word))
    ngram = corpus.word
    for n in range(1, LONGEST + 1):
        if n > 1:
            whole = np.flatnonzero(left[start] >= n)
            # Two numbers in one: of the n-gram without its last word, and of that word.
            start, ngram = start[whole], ngram[whole] * corpus.vocabulary + corpus.word[start[whole] + n - 1]
        order = _by_ngram_and_caption(ngram, corpus.caption[start], len(corpus.image))
        caption, sorted_ngram = corpus.caption[start[order]], ngram[order]
        new_ngram = _changes(sorted_ngram)
        entries = np.flatnonzero(new_ngram | _changes(caption))
        times = np.diff(entries, append=len(order))
        # From here on of entries, not of words.
        caption, new_ngram = caption[entries], new_ngram[entries]
        image, numbers = corpus.image[caption], new_ngram.cumsum() - 1
        new_group = new_ngram | _changes(image)
        first = np.flatnonzero(new_group)  # entry of each group, the candidate's if it has one
        of_candidate = is_candidate[caption]
        yield Ngrams(
            caption=caption,
            times=times,
            group=new_group.cumsum() - 1,
            image=image[first],
            ngram=numbers[first],
            said=np.where(of_candidate[first], times[first], 0),
            most=np.maximum.reduceat(np.where(of_candidate, 0, times), first) if len(first) else first,
        )
        # Numbered anew each time, since powers of the vocabulary's size would soon not fit into 64 bits.
        ngram = np.empty_like(ngram)
        ngram[order] = np.repeat(numbers, times)


def _by_ngram_and_caption(ngram: Integers, caption: Integers, captions: int) -> Integers:
    """The order in which both ascend, given captions that ascend."""
    if ngram.max(initial=0) < _LARGEST // captions:
        return np.argsort(ngram * captions + caption)  # numpy sorts a single key six times as fast as it sorts stably
    return np.argsort(ngram, kind="stable")


def _changes(values: Integers) -> Booleans:
    """Where a value differs from the one before it; the first does."""
    found = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found
