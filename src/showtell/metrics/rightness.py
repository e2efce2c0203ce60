"""When a caption counts as right: it agrees with what people say of the photo as well as people do with each other.

Everyone's caption, the model's or a person's, is measured by its CIDEr against all of a photo's human captions but one,
since a person's own caption is no reference for it. A person's caption is the one left out; the model's leaves out each
in turn, and counts with the mean. The model is right where it reaches the median of people over all photos. So a
caption that people wrote is right in half of the cases, by this definition.

Rejected: the photo's own people as its mark. Five captions agree by chance now more, now less, and a photo on which
nobody agrees with anybody would make every caption right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from showtell.errors import BadData
from showtell.metrics.cider import cider
from showtell.metrics.ngrams import Booleans, Floats, count, number
from showtell.metrics.words import split_words


class Rightness(NamedTuple):
    """Of B images, in the order of the captions."""

    agreement: Floats
    """`[B]`: CIDEr of the model's caption, mean over leaving out each reference."""
    mark: float
    """The median CIDEr of a person's caption against the other people's."""

    @property
    def right(self) -> Booleans:
        """`[B]`"""
        found: Booleans = self.agreement >= self.mark
        return found


def rightness(captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str) -> Rightness:
    """Both by the image's name. Where images have fewer captions than others, theirs take several turns.

    Raises BadData for an image with a single human caption: nobody is there to agree with.
    """
    if alone := [name for name in captions if len(references[name]) < 2]:
        raise BadData("references", f"one caption of {alone[0]!r}", "two or more, to see how well people agree")
    said = [_words(caption, language) for caption in captions.values()]
    people = [[_words(caption, language) for caption in references[name]] for name in captions]
    models, humans = [], []
    for turn in range(max(map(len, people))):
        left_out = [turn % len(each) for each in people]
        others = [[*each[:place], *each[place + 1 :]] for each, place in zip(people, left_out, strict=True)]
        models.append(_cider(said, others))
        humans.append(_cider([each[place] for each, place in zip(people, left_out, strict=True)], others))
    return Rightness(np.mean(models, axis=0), float(np.median(humans)))


def _cider(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> Floats:
    corpus = number(candidates, references)
    return cider(corpus, count(corpus))


def _words(caption: str, language: str) -> list[str]:
    """As CIDEr counts them, see `Evaluation`."""
    return " ".join(split_words(caption, language)).split()
