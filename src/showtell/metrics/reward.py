"""CIDEr as a reward for sampled captions: on token ids, hundreds of samples in a millisecond or two.

Self-critical training (Rennie et al. 2017) scores thousands of captions a minute against the references of the training
images. Document frequencies are counted once, in these references: a batch has too few images for that.

The end token counts as a word, in references and samples; a truncated sample has none. The COCO server's CIDEr does not
do this, but self-critical training needs it: otherwise a caption that stops after "a man in a" loses little, since the
references have all its n-grams, and a model soon learns to stop there. A reward is therefore a little higher than the
CIDEr of the same caption (the end is one more n-gram that can match), and the two are not comparable.

An n-gram is packed into one 64-bit key, 16 bits per word, and all n-grams of a batch are looked up together. The
specification, with a dictionary per caption, is in tests/metrics/test_reward.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from showtell.metrics.cider import SIGMA
from showtell.metrics.hash_table import HashTable, Keys
from showtell.metrics.ngrams import MAX_N, Floats, Integers

WORD_BITS: Final = 64 // MAX_N
_ORDER_BITS: Final = 2
"""For n - 1, which is 0 to 3."""
_SORT_KEY_BITS: Final = 63
_NGRAM_BITS: Final = 40
_LENGTH_PENALTY: Final = np.exp(-(np.arange(200.0) ** 2) / (2 * SIGMA**2))
"""By the difference in length; the last is less than 1e-230."""
_NGRAM_MASK: Final = (1 << _NGRAM_BITS) - 1


class _PackedNgrams(NamedTuple):
    """All P n-grams of the captions, n = 1..4, with repetitions."""

    vectors: Integers
    """`[P]`: 4 * caption + n - 1. Cosines are computed and normalised for each n separately, so each caption has four
    TF-IDF vectors."""
    keys: Keys
    """`[P]`"""


class CiderReward:
    """Scores samples for training images against their references."""

    def __init__(self, references: Sequence[Sequence[Sequence[int]]], end: int) -> None:
        """`references`: for each training image, captions as word ids without start and end tokens. `end`: the id of
        the end token.

        Memory: some 200 bytes for every distinct n-gram, 100 MB for Flickr8k, around a gigabyte for COCO.

        Raises ValueError for no images, an image without references, a reference that contains `end`, and ids that do
        not fit in 16 bits.
        """
        if not references:
            raise ValueError("found no references; expected those of at least one image")
        if empty := [index for index, captions in enumerate(references) if not captions]:
            raise ValueError(f"found {len(empty)} images without references, the first is number {empty[0]}")
        if any(end in ids for ids in chain.from_iterable(references)):
            raise ValueError(f"found the end, {end}, in a reference; expected words without start and end")
        self._end = end
        captions = [[*ids, end] for ids in chain.from_iterable(references)]
        self._reference_counts = np.array([len(image_captions) for image_captions in references], np.int64)
        self._lengths = np.array([len(ids) for ids in captions], np.int64)
        image_ids = np.repeat(np.arange(len(references)), self._reference_counts)
        packed = _pack_ngrams(np.array(list(chain.from_iterable(captions)), np.int64), self._lengths)

        # Document frequency: the number of images whose references have the n-gram. Unseen n-grams count as seen in
        # one.
        self._table = HashTable(np.unique(packed.keys))
        ngram_ids = self._table.find(packed.keys)
        distinct_in_image = np.unique(image_ids[packed.vectors >> _ORDER_BITS] << _NGRAM_BITS | ngram_ids) & _NGRAM_MASK
        self._document_frequency = np.bincount(distinct_in_image, minlength=self._table.absent + 1).astype(np.int32)
        self._idf = np.log(len(references)) - np.log(np.maximum(1, np.arange(len(references) + 1)))  # by frequency

        image_ids, vectors, ngram_ids, counts = _count_distinct(
            image_ids[packed.vectors >> _ORDER_BITS], packed.vectors, ngram_ids
        )
        weights = counts * self._idf[self._document_frequency[ngram_ids]]
        norms = _vector_norms(vectors, weights, len(captions))[vectors]
        # A pair is (image, n-gram); its entries are the references of the image that have the n-gram.
        pairs = image_ids << _NGRAM_BITS | ngram_ids
        first = np.flatnonzero(np.diff(pairs, prepend=-1))
        self._pairs = pairs[first]
        self._image_bounds = np.searchsorted(self._pairs, np.arange(len(references) + 1) << _NGRAM_BITS)
        self._entry_bounds = np.append(first, len(pairs))
        self._entry_captions = vectors >> _ORDER_BITS
        normalised = np.divide(weights, norms, out=np.zeros_like(weights), where=norms > 0)
        self._entry_weights = np.stack([weights, normalised], axis=-1)  # `[E, 2]`, since both are read together

    def __call__(self, samples: npt.NDArray[np.integer], images: npt.NDArray[np.integer]) -> Floats:
        """CIDEr of each sample, `[R]`, from 0 to 10.

        `samples` `[R, T]`: word ids without a start token; what follows an end token is ignored. `images` `[R]`: index
        of the training image in `references`.

        Raises ValueError for ids that do not fit in 16 bits and for image indices out of range.
        """
        samples, image_ids = np.asarray(samples, np.int64), np.asarray(images, np.int64)
        in_range = (image_ids >= 0) & (image_ids < len(self._reference_counts))
        if image_ids.shape != samples.shape[:1] or not in_range.all():
            raise ValueError(
                f"expected {len(samples)} numbers of images below {len(self._reference_counts)}, found {image_ids}"
            )
        is_end = samples == self._end
        lengths = np.where(is_end.any(axis=1), is_end.argmax(axis=1) + 1, samples.shape[1])
        packed = _pack_ngrams(samples[np.arange(samples.shape[1]) < lengths[:, None]], lengths)
        batch_images, image_slots = np.unique(image_ids, return_inverse=True)
        image_slots, vectors, ngram_ids, counts = _count_distinct(
            image_slots[packed.vectors >> _ORDER_BITS], packed.vectors, self._ngram_ids(packed.keys)
        )
        weights = counts * self._idf[self._document_frequency[np.minimum(ngram_ids, self._table.absent)]]
        norms = _vector_norms(vectors, weights, len(samples))

        known = np.flatnonzero(ngram_ids < self._table.absent)
        positions, entries = self._matches(image_slots[known] << _NGRAM_BITS | ngram_ids[known], batch_images)
        sample_entries = known[positions]
        reference_weights, normalised = self._entry_weights[entries].T
        products = np.minimum(weights[sample_entries], reference_weights) * normalised
        sample_lengths = lengths[vectors[sample_entries] >> _ORDER_BITS]
        length_differences = np.abs(sample_lengths - self._lengths[self._entry_captions[entries]])
        products *= _LENGTH_PENALTY[np.minimum(length_differences, len(_LENGTH_PENALTY) - 1)]
        dot_products = np.bincount(vectors[sample_entries], products, len(norms))
        cosines = np.divide(dot_products, norms, out=np.zeros(len(norms)), where=norms > 0).reshape(-1, MAX_N)
        return np.asarray(10 * cosines.mean(axis=1) / self._reference_counts[image_ids], np.float64)

    def _matches(self, pairs: Integers, batch_images: Integers) -> tuple[Integers, Integers]:
        """N-grams that samples share with references, `[M]` each: position in `pairs`, and entry of the reference.
        `pairs` is ascending and has positions in `batch_images` where `self._pairs` has image indices."""
        # Searched among the pairs of these images only, which fit in the processor's cache; those of all do not.
        begin, end = self._image_bounds[batch_images], self._image_bounds[batch_images + 1]
        pair_ids = _concatenated_ranges(begin, end)
        slots = np.repeat(np.arange(len(batch_images)) << _NGRAM_BITS, end - begin)
        reference_pairs = slots | self._pairs[pair_ids] & _NGRAM_MASK
        nearest = np.minimum(np.searchsorted(reference_pairs, pairs), len(reference_pairs) - 1)
        hits = np.flatnonzero(reference_pairs[nearest] == pairs)
        first, last = self._entry_bounds[pair_ids[nearest[hits]]], self._entry_bounds[pair_ids[nearest[hits]] + 1]
        return np.repeat(hits, last - first), _concatenated_ranges(first, last)

    def _ngram_ids(self, keys: Keys) -> Integers:
        """`[P]`; n-grams that no reference has get ids from `absent` upwards."""
        ngram_ids = self._table.find(keys)
        new = np.flatnonzero(ngram_ids == self._table.absent)
        ngram_ids[new] += np.unique(keys[new], return_inverse=True)[1]
        return ngram_ids


def _pack_ngrams(words: Integers, lengths: Integers) -> _PackedNgrams:
    """`words` `[L]`: the word ids of all captions, of `lengths` `[N]`."""
    if len(words) and not 0 <= words.min() <= words.max() < 2**WORD_BITS - 1:
        raise ValueError(f"found word ids from {words.min()} to {words.max()}; expected 0 to {2**WORD_BITS - 2}")
    word_keys = words.astype(np.uint64) + np.uint64(1)  # 0 is no word, so that n-grams of different n are different
    caption_ids = np.repeat(np.arange(len(lengths)), lengths)
    words_left = np.repeat(lengths.cumsum(), lengths) - np.arange(len(words))  # to the caption's end
    vectors, keys = [caption_ids << _ORDER_BITS], [word_keys]
    ngram_keys = word_keys
    for n in range(2, MAX_N + 1):
        ngram_keys = ngram_keys[:-1] << np.uint64(WORD_BITS) | word_keys[n - 1 :]
        complete = np.flatnonzero(words_left[: len(ngram_keys)] >= n)
        vectors.append(caption_ids[complete] << _ORDER_BITS | n - 1)
        keys.append(ngram_keys[complete])
    return _PackedNgrams(np.concatenate(vectors), np.concatenate(keys))


def _count_distinct(
    image_ids: Integers, vectors: Integers, ngram_ids: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    """The distinct n-grams of each vector, `[E]` each: image, vector, n-gram, count.

    Sorted by image, then by n-gram: lookups in that order are faster.
    """
    vector_bits, ngram_bits = (int(ids.max(initial=0)).bit_length() for ids in (vectors, ngram_ids))
    if int(image_ids.max(initial=0)).bit_length() + ngram_bits + vector_bits > _SORT_KEY_BITS:
        order = np.lexsort((vectors, ngram_ids, image_ids))
        image_ids, vectors, ngram_ids = image_ids[order], vectors[order], ngram_ids[order]
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = (np.diff(vectors) != 0) | (np.diff(ngram_ids) != 0)
        first = np.flatnonzero(is_first)
        return image_ids[first], vectors[first], ngram_ids[first], np.diff(first, append=len(order))
    # One key is sorted many times as fast as three.
    keys = np.sort((image_ids << ngram_bits | ngram_ids) << vector_bits | vectors)
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    keys, counts = keys[first], np.diff(first, append=len(keys))
    pairs = keys >> vector_bits
    return pairs >> ngram_bits, keys & (1 << vector_bits) - 1, pairs & (1 << ngram_bits) - 1, counts


def _vector_norms(vectors: Integers, weights: Floats, captions: int) -> Floats:
    """`[4 * captions]`"""
    return np.sqrt(np.bincount(vectors, weights**2, captions * MAX_N))


def _concatenated_ranges(begin: Integers, end: Integers) -> Integers:
    """All integers from `begin` to before `end`, one range after the other."""
    lengths = end - begin
    ranges: Integers = np.arange(lengths.sum()) + np.repeat(begin - (lengths.cumsum() - lengths), lengths)
    return ranges
