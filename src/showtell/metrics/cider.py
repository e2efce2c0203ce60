"""CIDEr (Vedantam et al. 2015, where this variant is called CIDEr-D), as the COCO server and pycocoevalcap compute it.

The similarity of a candidate and a reference is the cosine of their TF-IDF vectors of n-grams, with candidate weights
clipped to the reference's, times a Gaussian of the length difference. CIDEr is the mean over n = 1..4 and over the
references, times 10.

Document frequencies come from the references of the same images. The same caption therefore scores differently in
another set of images, and a single image scores 0. `metrics/reward` takes document frequencies from the training set.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from showtell.metrics.ngrams import MAX_N, Corpus, Floats, NgramCounts

SIGMA: Final = 6.0
"""Standard deviation of the Gaussian length penalty, in words."""


def cider(corpus: Corpus, ngrams: Iterable[NgramCounts]) -> Floats:
    """CIDEr of each image, `[B]`; corpus CIDEr is the mean."""
    cosines = sum((_clipped_cosines(corpus, counts) for counts in ngrams), np.zeros(()))  # [N]
    length_differences = corpus.lengths - corpus.lengths[corpus.candidates][corpus.image_ids]
    similarities = cosines / MAX_N * np.exp(-(length_differences**2) / (2 * SIGMA**2))
    return np.asarray(10 * np.bincount(corpus.image_ids, similarities) / corpus.reference_counts, np.float64)


def _clipped_cosines(corpus: Corpus, ngrams: NgramCounts) -> Floats:
    """Clipped cosine of each reference and its image's candidate, `[N]`; 0 for the candidates themselves."""
    # In how many images a reference has the n-gram. Unseen n-grams count as seen in one.
    document_frequency = np.bincount(ngrams.ngram_ids, ngrams.max_reference_counts > 0)
    idf = (np.log(len(corpus.candidates)) - np.log(np.maximum(1, document_frequency)))[ngrams.ngram_ids]  # [G]
    weights = ngrams.counts * idf[ngrams.group_ids]  # [E]
    norms = np.sqrt(np.bincount(ngrams.caption_ids, weights**2, len(corpus.image_ids)))  # [N]

    products = np.minimum((ngrams.candidate_counts * idf)[ngrams.group_ids], weights) * weights
    dot_products = np.bincount(ngrams.caption_ids, products, len(corpus.image_ids))
    dot_products[corpus.candidates] = 0
    norm_products = norms[corpus.candidates][corpus.image_ids] * norms
    cosines: Floats = np.divide(dot_products, norm_products, out=np.zeros_like(norm_products), where=norm_products > 0)
    return cosines
