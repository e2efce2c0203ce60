"""When a caption counts as correct: it agrees with the human captions of its image as well as they agree with each
other.

Any caption, the model's or a human one, is scored by its CIDEr against all human captions of the image but one, since a
human caption is no reference for itself. For a human caption the one left out is itself; for the model's, each is left
out in turn and the mean is taken. The model's caption is correct if its CIDEr reaches the median of the human captions
of all images. By this definition half of the human captions are correct.

Rejected: a threshold per image, from its own human captions. Five captions agree more or less by chance, and on an
image whose captions do not agree at all every caption would be correct.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from showtell.errors import BadData
from showtell.metrics.cider import cider
from showtell.metrics.ngrams import Booleans, Floats, build_corpus, count_ngrams
from showtell.metrics.tokenization import split_at_spaces, tokenize


class Correctness(NamedTuple):
    """Of B images, in the order of the captions."""

    cider: Floats
    """`[B]`: CIDEr of the model's caption, mean over leaving out each reference."""
    threshold: float
    """Median CIDEr of a human caption against the others of its image."""

    @property
    def correct(self) -> Booleans:
        """`[B]`"""
        mask: Booleans = self.cider >= self.threshold
        return mask


def judge_correctness(
    captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str
) -> Correctness:
    """Both mappings are by image name. There are as many rounds as the largest number of references; an image with
    fewer leaves out its references more than once.

    Raises BadData for an image with a single reference.
    """
    if single := [name for name in captions if len(references[name]) < 2]:
        raise BadData("references", f"one caption of {single[0]!r}", "two or more, to see how well people agree")
    candidates = [_words(caption, language) for caption in captions.values()]
    human = [[_words(caption, language) for caption in references[name]] for name in captions]
    model_ciders, human_ciders = [], []
    for turn in range(max(map(len, human))):
        left_out = [turn % len(image_captions) for image_captions in human]
        remaining = [
            [*image_captions[:index], *image_captions[index + 1 :]]
            for image_captions, index in zip(human, left_out, strict=True)
        ]
        held_out = [image_captions[index] for image_captions, index in zip(human, left_out, strict=True)]
        model_ciders.append(_cider(candidates, remaining))
        human_ciders.append(_cider(held_out, remaining))
    return Correctness(np.mean(model_ciders, axis=0), float(np.median(human_ciders)))


def _cider(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Floats:
    corpus = build_corpus(candidates, references)
    return cider(corpus, count_ngrams(corpus))


def _words(caption: str, language: str) -> list[str]:
    """Tokens as CIDEr counts them, see `Evaluation`."""
    return split_at_spaces(tokenize(caption, language))
