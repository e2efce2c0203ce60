"""What the usual metrics overlook: a model that says the same of every image, repeats what it has read, or stops in the
middle of a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from showtell.metrics.function_words import BAD_ENDINGS, FUNCTION_WORDS
from showtell.metrics.ngrams import LONGEST, Corpus, Floats, Integers, Ngrams, count, number

Captions = Sequence[Sequence[str]]


class Variety(NamedTuple):
    """A score of a whole set of captions, which is no mean over images, and what it would be without each image."""

    value: float
    without: Floats
    """`[B]`; of no use for a single image."""


def different(captions: Captions) -> Variety:
    """How many captions there would be without repetitions, as a share of how many there are."""
    whole = [tuple(words) for words in captions]
    return _kinds([[words] for words in whole], lambda kinds, all_: kinds / all_)


def distinct(captions: Captions, n: int) -> Variety:
    """Different n-grams of all captions together, as a share of all their n-grams (Li et al. 2016)."""
    ngrams = [[tuple(words[start : start + n]) for start in range(len(words) - n + 1)] for words in captions]
    return _kinds(ngrams, lambda kinds, all_: kinds / np.maximum(1, all_))


def vocabulary(captions: Captions) -> Variety:
    """How many different words the captions use."""
    return _kinds(captions, lambda kinds, _: kinds + 0.0)


def _kinds(things: Sequence[Sequence[object]], of: Callable[[Integers, Integers], npt.NDArray[np.floating]]) -> Variety:
    """`of` how many kinds of things there are, and how many things; with all images, and without each."""
    images_with = Counter(thing for each in things for thing in set(each))
    only_here = np.array([sum(images_with[thing] == 1 for thing in set(each)) for each in things], np.int64)
    here = np.array([len(each) for each in things], np.int64)
    kinds, total = np.array([len(images_with)]), here.sum(keepdims=True)
    # Without a set's only image there is nothing to count, and 0 / 0 would be said of it.
    without = np.asarray(of(kinds - only_here, np.maximum(1, total - here)), np.float64)
    return Variety(float(of(kinds, total)[0]), without)


def bad_endings(captions: Captions, language: str) -> Floats:
    """1 for a caption whose last word is one after which a sentence has to go on, `[B]`."""
    return np.array([bool(words) and words[-1] in BAD_ENDINGS[language] for words in captions], np.float64)


def novel(captions: Captions, training: Collection[tuple[str, ...]]) -> Floats:
    """1 for a caption that is not, word for word, in `training`, `[B]`."""
    return np.array([tuple(words) not in training for words in captions], np.float64)


def content_recall(captions: Captions, references: Sequence[Captions], language: str) -> Floats:
    """Which share of the content words of a human caption the caption has, too, mean over the image's human captions,
    `[B]`.

    Content words are all but articles, pronouns, prepositions and the like (`metrics/function_words`). A human caption
    without any is passed over; if an image has only such, there is nothing to recall, and its share is 1.
    """
    function_words = FUNCTION_WORDS[language]
    found = []
    for words, others in zip(captions, references, strict=True):
        wanted = [content for other in others if (content := set(other) - function_words)]
        shares = [len(content.intersection(words)) / len(content) for content in wanted]
        found.append(sum(shares) / len(shares) if shares else 1.0)
    return np.array(found, np.float64)


def self_cider(alternatives: Sequence[Captions], references: Sequence[Captions]) -> Floats:
    """How much the several captions of an image differ, `[B]`: 0 when all are the same, 1 when no two share a word.

    Self-CIDEr (Wang and Chan 2019, Describing like Humans): of the matrix of CIDEr between an image's m captions, the
    square root of the largest eigenvalue as a share of the sum of all square roots, as -log to the base m. CIDEr is the
    one without clipping and length penalty here, since only that is a kernel. Document frequencies are those of
    `references`, so that a single image has 0, as it has CIDEr 0. An image with a single caption has 0.
    """
    # An image's captions, then its references, are numbered through; which of them is one says its place.
    several = [[*captions, *others] for captions, others in zip(alternatives, references, strict=True)]
    corpus = number([captions[0] for captions in several], [captions[1:] for captions in several])
    said = np.array([len(captions) for captions in alternatives])
    kernels = [np.zeros((m, m)) for m in said]
    for of in count(corpus):
        _add_cosines(kernels, corpus, of, said)
    return np.array([_spread(kernel / LONGEST) for kernel in kernels], np.float64)


def _add_cosines(kernels: Sequence[Floats], corpus: Corpus, of: Ngrams, said: Integers) -> None:
    """Between the captions of each image, for one n; to `kernels` `[m, m]` each, of `said` m captions."""
    place = np.arange(len(corpus.image)) - corpus.candidate[corpus.image]
    is_said = place[of.caption] < said[corpus.image[of.caption]]
    in_reference = np.bincount(of.group[~is_said], minlength=len(of.image)) > 0
    images_with = np.bincount(of.ngram, in_reference)
    rarity = np.log(len(said)) - np.log(np.maximum(1, images_with))
    caption, group = of.caption[is_said], of.group[is_said]
    weight = of.times[is_said] * rarity[of.ngram[group]]
    # Image by image: one with a hundred captions must not make a hundred of every other.
    order = np.argsort(of.image[group], kind="stable")
    ends = np.searchsorted(of.image[group][order], np.arange(len(said) + 1))
    for kernel, begin, end in zip(kernels, ends[:-1], ends[1:], strict=True):
        mine = order[begin:end]
        known, column = np.unique(group[mine], return_inverse=True)
        vectors = np.zeros((len(kernel), len(known)))
        vectors[place[caption[mine]], column] = weight[mine]
        norm = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        vectors = np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)
        kernel += vectors @ vectors.T


def _spread(kernel: Floats) -> float:
    """Of the eigenvalues of `[m, m]`, from 0 to 1."""
    roots = np.sqrt(np.maximum(0, np.linalg.eigvalsh(kernel)))
    if len(roots) < 2 or roots.sum() == 0:
        return 0.0
    return max(0.0, float(-np.log(roots.max() / roots.sum()) / np.log(len(roots))))
