"""CIDEr (Vedantam et al. 2015; there called CIDEr-D), as the COCO server and pycocoevalcap compute it.

A caption and a reference are compared by the cosine of their n-grams' TF-IDF weights, where a weight above the
reference's counts no more than the reference's, times a Gaussian of the difference of their lengths. Mean over n = 1..4
and over the references, times 10.

All captions are counted together in arrays. The same with a dictionary per caption is in tests/metrics/test_cider.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

LONGEST: Final = 4
SIGMA: Final = 6.0
"""Standard deviation of the Gaussian, in words."""

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def cider(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Floats:
    """CIDEr of each caption, `[B]`; that of all captions is the mean.

    How rare an n-gram is, is counted in the references of these images: among others the same caption scores
    differently, and a single image scores 0.
    """
    images = len(candidates)
    # Captions are numbered through: the candidates, B of them, then the references, R of them.
    captions = [*candidates, *chain.from_iterable(references)]
    per_image = [len(captions_of_image) for captions_of_image in references]
    image = np.concatenate([np.arange(images), np.repeat(np.arange(images), per_image)])  # [B + R]

    length = np.array([len(words) for words in captions])
    difference = (length[image] - length)[images:]  # [R]
    cosines = sum((_clipped_cosine(ngrams, image, images) for ngrams in _count_ngrams(captions)), np.zeros(()))
    similarity = cosines / LONGEST * np.exp(-(difference**2) / (2 * SIGMA**2))
    return np.asarray(10 * np.bincount(image[images:], similarity) / per_image, np.float64)


class _Ngrams(NamedTuple):
    """The different n-grams of each caption, for one n: G of them in all captions."""

    caption: Integers
    """`[G]`"""
    ngram: Integers
    """`[G]`, a number for each n-gram."""
    times: Integers
    """`[G]`, how often it is in the caption."""
    different: int
    """Numbers of n-grams are below this."""


def _count_ngrams(captions: Sequence[Sequence[str]]) -> Iterator[_Ngrams]:
    """For n = 1..4."""
    numbers: dict[str, int] = {}
    word = np.array([numbers.setdefault(word, len(numbers)) for words in captions for word in words], np.int64)
    caption = np.repeat(np.arange(len(captions)), [len(words) for words in captions])

    start = np.arange(len(word))
    ngram = word
    for n in range(1, LONGEST + 1):
        if n > 1:
            last = start + n - 1
            whole = last < len(word)
            whole[whole] = caption[start[whole]] == caption[last[whole]]
            start = start[whole]
            ngram = ngram[whole] * len(numbers) + word[last[whole]]
        # Numbered anew each time, since powers of the vocabulary's size would soon not fit into 64 bits.
        known, ngram = np.unique(ngram, return_inverse=True)
        pairs, times = np.unique(caption[start] * len(known) + ngram, return_counts=True)
        yield _Ngrams(*np.divmod(pairs, len(known)), times, len(known))


def _clipped_cosine(ngrams: _Ngrams, image: Integers, images: int) -> Floats:
    """Of each reference with the candidate of its image, `[R]`."""
    # What is in several captions of one image gets one number there, by which the captions find each other's weights.
    pairs, pair = np.unique(image[ngrams.caption] * ngrams.different + ngrams.ngram, return_inverse=True)
    of_reference = ngrams.caption >= images

    # Among how many images, of all, the n-gram is in a reference. Those in none count as in one.
    images_with = np.bincount(pairs[np.unique(pair[of_reference])] % ngrams.different, minlength=ngrams.different)
    rarity = np.log(images) - np.log(np.maximum(1, images_with))
    weight = ngrams.times * rarity[ngrams.ngram]
    norm = np.sqrt(np.bincount(ngrams.caption, weight**2, len(image)))  # [B + R]

    candidate_weight = np.zeros(len(pairs))
    candidate_weight[pair[~of_reference]] = weight[~of_reference]
    weight, pair, caption = weight[of_reference], pair[of_reference], ngrams.caption[of_reference]
    product = np.bincount(caption, np.minimum(candidate_weight[pair], weight) * weight, len(image))[images:]
    norms = (norm[image] * norm)[images:]
    cosine: Floats = np.divide(product, norms, out=np.zeros_like(norms), where=norms > 0)
    return cosine
