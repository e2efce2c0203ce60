"""CIDEr (Vedantam et al. 2015; there called CIDEr-D), as the COCO server and pycocoevalcap compute it.

A caption and a reference are compared by the cosine of their n-grams' TF-IDF weights, where a weight above the
reference's counts no more than the reference's, times a Gaussian of the difference of their lengths. Mean over n = 1..4
and over the references, times 10.

How rare an n-gram is, is counted in the references of the same images: among others the same caption scores
differently, and a single image scores 0. `metrics/reward` counts in other captions than it scores against.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from showtell.metrics.ngrams import LONGEST, Corpus, Floats, Ngrams

SIGMA: Final = 6.0
"""Standard deviation of the Gaussian, in words."""


def cider(corpus: Corpus, ngrams: Iterable[Ngrams]) -> Floats:
    """CIDEr of each caption, `[B]`; that of all captions is the mean."""
    cosines = sum((_clipped_cosine(corpus, of) for of in ngrams), np.zeros(()))  # [N]
    difference = corpus.length - corpus.length[corpus.candidate][corpus.image]
    similarity = cosines / LONGEST * np.exp(-(difference**2) / (2 * SIGMA**2))
    return np.asarray(10 * np.bincount(corpus.image, similarity) / corpus.references, np.float64)


def _clipped_cosine(corpus: Corpus, of: Ngrams) -> Floats:
    """Of each reference with the candidate of its image, `[N]`; 0 for the candidates themselves."""
    # Among how many images, of all, the n-gram is in a reference. Those in none count as in one.
    images_with = np.bincount(of.ngram, of.most > 0)
    rarity = (np.log(len(corpus.candidate)) - np.log(np.maximum(1, images_with)))[of.ngram]  # [G]
    weight = of.times * rarity[of.group]  # [E]
    norm = np.sqrt(np.bincount(of.caption, weight**2, len(corpus.image)))  # [N]

    product = np.minimum((of.said * rarity)[of.group], weight) * weight
    product = np.bincount(of.caption, product, len(corpus.image))
    product[corpus.candidate] = 0
    norms = norm[corpus.candidate][corpus.image] * norm
    cosine: Floats = np.divide(product, norms, out=np.zeros_like(norms), where=norms > 0)
    return cosine
