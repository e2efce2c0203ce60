"""CIDEr as a reward for sampled captions: on token ids, a batch of hundreds in a millisecond or two.

Self-critical training (Rennie et al. 2017) scores thousands of captions a minute against the references of the training
images. How rare an n-gram is, is counted once, in those references, and kept: a batch has too few images to tell.

The end of the sentence is counted as a word, in references and samples; a sample that was cut off has none. This is not
CIDEr as the COCO server computes it. It is what self-critical training needs: without it a caption that stops after
"a man in a" loses little, since the references have every n-gram of it, and a model soon learns to stop there. So a
reward is a little higher than the CIDEr of the same caption, for the end is an n-gram that can always be right, and the
two are not to be compared.

An n-gram is one 64-bit number, 16 bits a word, and all n-grams of a batch are looked up together. The same with a
dictionary per caption is in tests/metrics/test_reward.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from showtell.metrics.cider import SIGMA
from showtell.metrics.key_table import Keys, KeyTable
from showtell.metrics.ngrams import LONGEST, Floats, Integers

WORD_BITS: Final = 64 // LONGEST
_SIZE_BITS: Final = 2
"""For n - 1, which is 0 to 3."""
_SORTED_BITS: Final = 63
_ID_BITS: Final = 40
_PENALTY: Final = np.exp(-(np.arange(200.0) ** 2) / (2 * SIGMA**2))
"""By the difference in length; the last is less than 1e-230."""
_ID: Final = (1 << _ID_BITS) - 1


class _Ngrams(NamedTuple):
    """All n-grams of captions, n = 1..4, P of them, repetitions included."""

    vector: Integers
    """`[P]`: four times its caption, and n - 1. Weights are compared, and normalised, for each n by itself."""
    key: Keys
    """`[P]`"""


class CiderReward:
    """Scores samples of training images against their references."""

    def __init__(self, references: Sequence[Sequence[Sequence[int]]], end: int) -> None:
        """`references`: of each training image, captions as word ids without start and end. `end`: the id that ends a
        sentence.

        It keeps some 200 bytes for every different n-gram: 100 MB for Flickr8k, around a gigabyte for COCO.

        Raises ValueError for no images, for one without references, for a reference that has `end` inside, and for ids
        that 16 bits do not hold.
        """
        if not references:
            raise ValueError("found no references; expected those of at least one image")
        if without := [number for number, captions in enumerate(references) if not captions]:
            raise ValueError(f"found {len(without)} images without references, the first is number {without[0]}")
        if any(end in ids for ids in chain.from_iterable(references)):
            raise ValueError(f"found the end, {end}, in a reference; expected words without start and end")
        self._end = end
        captions = [[*ids, end] for ids in chain.from_iterable(references)]
        self._per_image = np.array([len(each) for each in references], np.int64)
        self._length = np.array([len(ids) for ids in captions], np.int64)
        image = np.repeat(np.arange(len(references)), self._per_image)
        found = _ngrams(np.array(list(chain.from_iterable(captions)), np.int64), self._length)

        # Document frequencies: among how many images an n-gram is in a reference. What is in none counts as in one.
        self._ngrams = KeyTable(np.unique(found.key))
        ngram = self._ngrams.find(found.key)
        in_image = np.unique(image[found.vector >> _SIZE_BITS] << _ID_BITS | ngram) & _ID
        self._images_with = np.bincount(in_image, minlength=self._ngrams.absent + 1).astype(np.int32)
        self._rarity = np.log(len(references)) - np.log(np.maximum(1, np.arange(len(references) + 1)))

        image, vector, ngram, times = _count(image[found.vector >> _SIZE_BITS], found.vector, ngram)
        weight = times * self._rarity[self._images_with[ngram]]
        norm = _norm(vector, weight, len(captions))[vector]
        # A pair is an n-gram in the references of an image; its entries are those of the references that have it.
        pair = image << _ID_BITS | ngram
        first = np.flatnonzero(np.diff(pair, prepend=-1))
        self._pair = pair[first]
        self._pairs_of = np.searchsorted(self._pair, np.arange(len(references) + 1) << _ID_BITS)
        self._begin = np.append(first, len(pair))
        self._caption = vector >> _SIZE_BITS
        unit = np.divide(weight, norm, out=np.zeros_like(weight), where=norm > 0)
        self._weights = np.stack([weight, unit], axis=-1)  # `[E, 2]`, since both are read at once

    def __call__(self, samples: npt.NDArray[np.integer], images: npt.NDArray[np.integer]) -> Floats:
        """CIDEr of each sample, `[R]`, from 0 to 10.

        `samples` `[R, T]`: word ids without a start; what follows an end is ignored. `images` `[R]`: which training
        image, as numbered in `references`.

        Raises ValueError for ids that 16 bits do not hold, and for images that there are not.
        """
        samples, image = np.asarray(samples, np.int64), np.asarray(images, np.int64)
        if image.shape != samples.shape[:1] or not ((image >= 0) & (image < len(self._per_image))).all():
            raise ValueError(f"expected {len(samples)} numbers of images below {len(self._per_image)}, found {images}")
        after = samples == self._end
        length = np.where(after.any(axis=1), after.argmax(axis=1) + 1, samples.shape[1])
        found = _ngrams(samples[np.arange(samples.shape[1]) < length[:, None]], length)
        different, slot = np.unique(image, return_inverse=True)
        slot, vector, ngram, times = _count(slot[found.vector >> _SIZE_BITS], found.vector, self._number(found.key))
        weight = times * self._rarity[self._images_with[np.minimum(ngram, self._ngrams.absent)]]
        norm = _norm(vector, weight, len(samples))

        known = np.flatnonzero(ngram < self._ngrams.absent)
        mine, theirs = self._shared(slot[known] << _ID_BITS | ngram[known], different)
        mine = known[mine]
        their_weight, unit = self._weights[theirs].T
        product = np.minimum(weight[mine], their_weight) * unit
        difference = length[vector[mine] >> _SIZE_BITS] - self._length[self._caption[theirs]]
        product *= _PENALTY[np.minimum(np.abs(difference), len(_PENALTY) - 1)]
        sums = np.bincount(vector[mine], product, len(norm))
        cosines = np.divide(sums, norm, out=np.zeros(len(norm)), where=norm > 0).reshape(-1, LONGEST)
        return np.asarray(10 * cosines.mean(axis=1) / self._per_image[image], np.float64)

    def _shared(self, pair: Integers, images: Integers) -> tuple[Integers, Integers]:
        """What samples share with references: the place of a pair in `pair`, and the entry of a reference that has it;
        each `[M]`. `pair` ascends, and has places in `images` where `self._pair` has images."""
        # Searched among the pairs of these images only, which fit the processor's cache; those of all do not.
        begin, end = self._pairs_of[images], self._pairs_of[images + 1]
        place = _ranges(begin, end)
        there = np.repeat(np.arange(len(images)) << _ID_BITS, end - begin) | self._pair[place] & _ID
        found = np.minimum(np.searchsorted(there, pair), len(there) - 1)
        hit = np.flatnonzero(there[found] == pair)
        entry, after = self._begin[place[found[hit]]], self._begin[place[found[hit]] + 1]
        return np.repeat(hit, after - entry), _ranges(entry, after)

    def _number(self, key: Keys) -> Integers:
        """The number of each n-gram, `[P]`; those that no reference has are numbered after those."""
        ngram = self._ngrams.find(key)
        new = np.flatnonzero(ngram == self._ngrams.absent)
        ngram[new] += np.unique(key[new], return_inverse=True)[1]
        return ngram


def _ngrams(words: Integers, length: Integers) -> _Ngrams:
    """`words` `[L]`: all captions in a row, of `length` `[N]` each."""
    if len(words) and not 0 <= words.min() <= words.max() < 2**WORD_BITS - 1:
        raise ValueError(f"found word ids from {words.min()} to {words.max()}; expected 0 to {2**WORD_BITS - 2}")
    word = words.astype(np.uint64) + np.uint64(1)  # 0 is no word, so that n-grams of different n are different
    caption = np.repeat(np.arange(len(length)), length)
    after = np.repeat(length.cumsum(), length) - np.arange(len(words))  # words from here to the caption's end
    vectors, keys = [caption << _SIZE_BITS], [word]
    key = word
    for n in range(2, LONGEST + 1):
        key = key[:-1] << np.uint64(WORD_BITS) | word[n - 1 :]
        whole = np.flatnonzero(after[: len(key)] >= n)
        vectors.append(caption[whole] << _SIZE_BITS | n - 1)
        keys.append(key[whole])
    return _Ngrams(np.concatenate(vectors), np.concatenate(keys))


def _count(image: Integers, vector: Integers, ngram: Integers) -> tuple[Integers, Integers, Integers, Integers]:
    """The different n-grams of each vector, `[E]`: of which image, of which vector, which, and how often.

    By image, then by n-gram: what is searched for in that order is found faster.
    """
    vector_bits, ngram_bits = (int(of.max(initial=0)).bit_length() for of in (vector, ngram))
    if int(image.max(initial=0)).bit_length() + ngram_bits + vector_bits > _SORTED_BITS:
        order = np.lexsort((vector, ngram, image))
        image, vector, ngram = image[order], vector[order], ngram[order]
        new = np.ones(len(order), np.bool_)
        new[1:] = (np.diff(vector) != 0) | (np.diff(ngram) != 0)
        first = np.flatnonzero(new)
        return image[first], vector[first], ngram[first], np.diff(first, append=len(order))
    every = np.sort((image << ngram_bits | ngram) << vector_bits | vector)  # one key is sorted many times as fast
    first = np.flatnonzero(np.diff(every, prepend=-1))
    every, times = every[first], np.diff(first, append=len(every))
    pair = every >> vector_bits
    return pair >> ngram_bits, every & (1 << vector_bits) - 1, pair & (1 << ngram_bits) - 1, times


def _norm(vector: Integers, weight: Floats, captions: int) -> Floats:
    """Of each vector, `[4 * captions]`."""
    return np.sqrt(np.bincount(vector, weight**2, captions * LONGEST))


def _ranges(begin: Integers, end: Integers) -> Integers:
    """All numbers from `begin` to before `end`, one range after the other."""
    length = end - begin
    ranges: Integers = np.arange(length.sum()) + np.repeat(begin - (length.cumsum() - length), length)
    return ranges
