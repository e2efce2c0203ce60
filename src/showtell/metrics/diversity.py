"""Metrics of defects that BLEU, ROUGE-L and CIDEr overlook: repeated captions, a small vocabulary, copied training
captions, sentences that break off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from showtell.languages import language_info
from showtell.metrics.ngrams import MAX_N, Corpus, Floats, Integers, NgramCounts, build_corpus, count_ngrams

Captions = Sequence[Sequence[str]]


class CorpusScore(NamedTuple):
    """A score of a whole set of captions that is not a mean over images."""

    value: float
    leave_one_out: Floats
    """`[B]`: the score without each image, for the jackknife. Meaningless for a single image."""


def unique_captions(captions: Captions) -> CorpusScore:
    """Number of distinct captions divided by the number of captions."""
    return _distinct_items([[tuple(words)] for words in captions], lambda distinct, total: distinct / total)


def distinct_n(captions: Captions, n: int) -> CorpusScore:
    """Number of distinct n-grams divided by the number of n-grams, over all captions (Li et al. 2016)."""
    ngrams = [[tuple(words[start : start + n]) for start in range(len(words) - n + 1)] for words in captions]
    return _distinct_items(ngrams, lambda distinct, total: distinct / np.maximum(1, total))


def vocab_size(captions: Captions) -> CorpusScore:
    """Number of distinct words in all captions."""
    return _distinct_items(captions, lambda distinct, _: distinct + 0.0)


def _distinct_items(
    items: Sequence[Sequence[object]], ratio: Callable[[Integers, Integers], npt.NDArray[np.floating]]
) -> CorpusScore:
    """`ratio(distinct, total)` of the items of all images, and of all images but one. `items`: those of each image."""
    document_frequency = Counter(item for image_items in items for item in set(image_items))
    only_here = np.array(
        [sum(document_frequency[item] == 1 for item in set(image_items)) for image_items in items], np.int64
    )
    here = np.array([len(image_items) for image_items in items], np.int64)
    distinct, total = np.array([len(document_frequency)]), here.sum(keepdims=True)
    # Without the only image of a set the total is 0; the maximum avoids 0 / 0.
    leave_one_out = np.asarray(ratio(distinct - only_here, np.maximum(1, total - here)), np.float64)
    return CorpusScore(float(ratio(distinct, total)[0]), leave_one_out)


def bad_endings(captions: Captions, language: str) -> Floats:
    """1 for a caption whose last word cannot end a sentence, `[B]`. The words are in the registry of languages; the
    English ones are those that captioning papers count."""
    endings = language_info(language).bad_endings
    return np.array([bool(words) and words[-1] in endings for words in captions], np.float64)


def novelty(captions: Captions, training_captions: Collection[tuple[str, ...]]) -> Floats:
    """1 for a caption that is not, word for word, one of `training_captions`, `[B]`."""
    return np.array([tuple(words) not in training_captions for words in captions], np.float64)


def content_recall(captions: Captions, references: Sequence[Captions], language: str) -> Floats:
    """Share of a reference's content words that the caption has, mean over the image's references, `[B]`.

    Content words are all words but articles, pronouns, prepositions and the like, which are in the registry of
    languages. A reference without content words is skipped; if an image has only such references, its recall is 1.
    """
    function_words = language_info(language).function_words
    recalls = []
    for words, image_references in zip(captions, references, strict=True):
        content_sets = [content for reference in image_references if (content := set(reference) - function_words)]
        shares = [len(content.intersection(words)) / len(content) for content in content_sets]
        recalls.append(sum(shares) / len(shares) if shares else 1.0)
    return np.array(recalls, np.float64)


def self_cider(alternatives: Sequence[Captions], references: Sequence[Captions]) -> Floats:
    """Diversity of the several captions of an image, `[B]`: 0 when all are equal, 1 when no two share a word.

    Self-CIDEr (Wang and Chan 2019, Describing like Humans): for the m x m kernel matrix of CIDEr between an image's m
    captions, -log_m of the largest square root of an eigenvalue divided by the sum of all square roots. CIDEr is used
    without clipping and length penalty, since only that is a kernel. Document frequencies are those of `references`, so
    a single image has 0, as its CIDEr is 0. An image with one caption has 0.
    """
    # The corpus holds, for each image, its alternatives and then its references; the position tells which is which.
    captions = [[*image_alternatives, *refs] for image_alternatives, refs in zip(alternatives, references, strict=True)]
    corpus = build_corpus(
        [image_captions[0] for image_captions in captions], [image_captions[1:] for image_captions in captions]
    )
    num_alternatives = np.array([len(image_alternatives) for image_alternatives in alternatives])
    kernels = [np.zeros((m, m)) for m in num_alternatives]
    for ngrams in count_ngrams(corpus):
        _add_cosines(kernels, corpus, ngrams, num_alternatives)
    return np.array([_eigenvalue_spread(kernel / MAX_N) for kernel in kernels], np.float64)


def _add_cosines(kernels: Sequence[Floats], corpus: Corpus, ngrams: NgramCounts, num_alternatives: Integers) -> None:
    """Adds to each image's kernel `[m, m]` the cosines between its alternatives, for one n."""
    positions = np.arange(len(corpus.image_ids)) - corpus.candidates[corpus.image_ids]
    is_alternative = positions[ngrams.caption_ids] < num_alternatives[corpus.image_ids[ngrams.caption_ids]]
    in_reference = np.bincount(ngrams.group_ids[~is_alternative], minlength=len(ngrams.image_ids)) > 0
    document_frequency = np.bincount(ngrams.ngram_ids, in_reference)
    idf = np.log(len(kernels)) - np.log(np.maximum(1, document_frequency))
    caption_ids, group_ids = ngrams.caption_ids[is_alternative], ngrams.group_ids[is_alternative]
    weights = ngrams.counts[is_alternative] * idf[ngrams.ngram_ids[group_ids]]
    # Image by image: a padded array would make one image with a hundred captions cost a hundred for every image.
    image_ids = ngrams.image_ids[group_ids]
    order = np.argsort(image_ids, kind="stable")
    bounds = np.searchsorted(image_ids[order], np.arange(len(kernels) + 1))
    for kernel, begin, end in zip(kernels, bounds[:-1], bounds[1:], strict=True):
        entries = order[begin:end]
        distinct_groups, columns = np.unique(group_ids[entries], return_inverse=True)
        vectors = np.zeros((len(kernel), len(distinct_groups)))
        vectors[positions[caption_ids[entries]], columns] = weights[entries]
        norms = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        kernel += vectors @ vectors.T


def _eigenvalue_spread(kernel: Floats) -> float:
    """-log_m of the largest share of the square roots of the eigenvalues of `[m, m]`, from 0 to 1."""
    roots = np.sqrt(np.maximum(0, np.linalg.eigvalsh(kernel)))
    if len(roots) < 2 or roots.sum() == 0:
        return 0.0
    return max(0.0, float(-np.log(roots.max() / roots.sum()) / np.log(len(roots))))
