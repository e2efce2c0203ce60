"""One system's captions, scored: every metric with its interval, image by image, and beside another system."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from showtell.errors import BadConfig, BadData
from showtell.metrics.bleu import bleu, bleu_counts
from showtell.metrics.cider import cider
from showtell.metrics.diversity import (
    bad_endings,
    content_recall,
    different,
    distinct,
    novel,
    self_cider,
    vocabulary,
)
from showtell.metrics.intervals import (
    Difference,
    Estimate,
    by_bootstrap,
    by_jackknife,
    difference_by_bootstrap,
    difference_by_jackknife,
    draws,
)
from showtell.metrics.ngrams import LONGEST, Floats, Integers, count, number
from showtell.metrics.rouge import rouge_l
from showtell.metrics.words import split_words

BLEUS: Final = tuple(f"BLEU-{n}" for n in range(1, LONGEST + 1))
JAVA: Final = ("METEOR", "SPICE")
RESAMPLES: Final = 1000


def score(
    candidates: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str = "en"
) -> dict[str, float]:
    """`BLEU-1` to `BLEU-4`, `ROUGE-L` and `CIDEr` as pycocoevalcap computes them; and how varied the captions are.

    Both mappings are by the image's name, whose order does not matter. docs/metrics.md says what each number means.

    Raises BadData when the images are not the same, and when there are none or some have no reference; BadConfig for a
    language without rules.
    """
    return Evaluation(candidates, references, language).values


class _Summed(NamedTuple):
    """Scores that are made from sums over the images, as BLEU from its counts, and a mean from its addends."""

    names: tuple[str, ...]
    parts: Floats | Integers
    """`[B, k]`"""
    of_sums: Callable[[Floats], Floats]
    """`[..., k]` -> `[..., names]`"""
    each: Floats
    """`[B, names]`: of each image by itself."""


class Evaluation:
    """Scores captions against human ones.

    `values` are the scores, `each` those of the single images, `estimates` has the intervals.
    """

    def __init__(
        self,
        candidates: Mapping[str, str],
        references: Mapping[str, Sequence[str]],
        language: str = "en",
        *,
        alternatives: Mapping[str, Sequence[str]] | None = None,
        training: Collection[str] | None = None,
        readings: Mapping[str, tuple[int, int, float]] | None = None,
        java: Sequence[str] = (),
    ) -> None:
        """All mappings are by the image's name.

        `alternatives`, several captions for each image, gives `self-CIDEr`; `training`, the captions that the model was
        trained on, gives `novelty`; `readings`, how many true words of an image there are, how many of them were among
        the five likeliest, and the loss, gives `top-5` and `loss`; `java` names METEOR and SPICE.

        Raises BadData when the images are not the same, and when there are none or some have no reference; BadConfig
        for a language without rules and for METEOR or SPICE without Java; MissingExtra for them without pycocoevalcap.
        """
        _check(candidates, references)
        for of in (alternatives, readings):
            if of is not None and (without := candidates.keys() - of.keys()):
                raise BadData("alternatives or readings", f"none for {_some(without)}", "some for each candidate")
        self.names = tuple(candidates)
        self.language = language
        self._said = [split_words(caption, language) for caption in candidates.values()]
        self._right = [[split_words(caption, language) for caption in references[name]] for name in candidates]
        # A number with a no-break space inside (2 1/2) is one word to pycocoevalcap's ROUGE, two to its BLEU and CIDEr.
        apart = [[_apart(words) for words in captions] for captions in self._right]
        corpus = number([_apart(words) for words in self._said], apart)
        ngrams = list(count(corpus))
        counts = bleu_counts(corpus, ngrams)
        self._summed = [
            _Summed(BLEUS, counts, bleu, bleu(counts)),
            _mean("ROUGE-L", rouge_l(corpus if self._right == apart else number(self._said, self._right))),
            _mean("CIDEr", cider(corpus, ngrams)),
            *(self._java(name) for name in java),
            *self._means(training),
        ]
        if alternatives is not None:
            several = [[split_words(c, language) for c in alternatives[name]] for name in candidates]
            self._summed.append(_mean("self-CIDEr", self_cider(several, self._right)))
        if readings is not None:
            self._summed.append(_taught(np.array([readings[name] for name in candidates], np.float64)))
        self._last_drawn: tuple[tuple[int, int], dict[str, Floats]] | None = None
        self._varieties = {
            "different": different(self._said),
            "distinct-1": distinct(self._said, 1),
            "distinct-2": distinct(self._said, 2),
            "vocabulary": vocabulary(self._said),
        }

    def _means(self, training: Collection[str] | None) -> list[_Summed]:
        said = self._said
        found = {
            "length": np.array([len(words) for words in said], np.float64),
            "bad_endings": bad_endings(said, self.language),
            "content_recall": content_recall(said, self._right, self.language),
        }
        if training is not None:
            known = {tuple(split_words(caption, self.language)) for caption in training}
            found["novelty"] = novel(said, known)
        return [_mean(name, each) for name, each in found.items()]

    def _java(self, name: str) -> _Summed:
        if name == "METEOR":
            from showtell.metrics.java import meteor, meteor_score

            found = meteor(self._said, self._right, self.language)
            return _Summed(("METEOR",), found.counts, lambda sums: meteor_score(sums)[..., None], found.each[:, None])
        if name == "SPICE":
            from showtell.metrics.java import spice

            return _mean("SPICE", spice(self._said, self._right, self.language))
        raise BadConfig(f"found the metric {name!r}; expected {' or '.join(JAVA)}")

    @property
    def values(self) -> dict[str, float]:
        """Every score. From 0 to 1, but CIDEr reaches 10, and `length` and `vocabulary` are numbers of words."""
        summed = dict(zip(self._names, self._of_sums(np.ones((1, len(self.names))))[0].tolist(), strict=True))
        return summed | {name: variety.value for name, variety in self._varieties.items()}

    @property
    def each(self) -> dict[str, Floats]:
        """The scores that an image has by itself, `[B]` each; its CIDEr depends on the other images' references."""
        columns = np.concatenate([of.each for of in self._summed], axis=1)
        return dict(zip(self._names, columns.T, strict=True))

    def estimates(self, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
        """Every score with its interval; of a single image, which says nothing of others, with `nan`."""
        values = self.values
        if len(self.names) < 2:
            return {name: Estimate(value, np.nan, np.nan) for name, value in values.items()}
        drawn = self._drawn(resamples, seed)
        return {
            name: by_bootstrap(value, drawn[name])
            if name in drawn
            else by_jackknife(value, self._varieties[name].without, np.inf if name == "vocabulary" else 1.0)
            for name, value in values.items()
        }

    def less(self, other: Evaluation, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Difference]:
        """How much more this system has of each score that both have, than another on the same images in the same
        order; of a single image, with `nan`.

        Raises BadData when the images are not the same.
        """
        if self.names != other.names:
            raise BadData("the two systems", "captions of other images, or in another order", "the same images")
        mine, theirs = self.values, other.values
        values = {name: mine[name] - theirs[name] for name in mine if name in theirs}
        if len(self.names) < 2:
            return {name: Difference(value, np.nan, np.nan, np.nan) for name, value in values.items()}
        my_draws, their_draws = self._drawn(resamples, seed), other._drawn(resamples, seed)
        return {
            name: difference_by_bootstrap(value, my_draws[name] - their_draws[name])
            if name in my_draws
            else difference_by_jackknife(value, self._varieties[name].without - other._varieties[name].without)
            for name, value in values.items()
        }

    @property
    def _names(self) -> list[str]:
        return [name for of in self._summed for name in of.names]

    def _of_sums(self, weights: Floats) -> Floats:
        """Scores of images weighted `[draws, B]`, `[draws, names]`."""
        return np.concatenate([of.of_sums(weights @ of.parts) for of in self._summed], axis=1)

    def _drawn(self, resamples: int, seed: int) -> dict[str, Floats]:
        """`[draws]` of each score that is made from sums."""
        if self._last_drawn is None or self._last_drawn[0] != (resamples, seed):
            found = np.concatenate([self._of_sums(weights) for weights in draws(len(self.names), resamples, seed)])
            # Kept, since the baseline of a comparison is asked again for every system.
            self._last_drawn = (resamples, seed), dict(zip(self._names, found.T, strict=True))
        return self._last_drawn[1]


def _mean(name: str, each: Floats) -> _Summed:
    return _Summed((name,), each[:, None], lambda sums: sums / len(each), each[:, None])


def _taught(parts: Floats) -> _Summed:
    """Of `[B, 3]`: true words, hits, loss."""

    def of_sums(sums: Floats) -> Floats:
        return sums[..., 1:] / np.maximum(1, sums[..., :1])

    return _Summed(("top-5", "loss"), parts, of_sums, of_sums(parts))


def _apart(words: Sequence[str]) -> list[str]:
    return " ".join(words).split()


def _check(candidates: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    if not candidates:
        raise BadData("candidates", "no captions", "at least one")
    if without := candidates.keys() - references.keys():
        raise BadData("references", f"none for {_some(without)}", "references for each image that has a caption")
    if without := references.keys() - candidates.keys():
        raise BadData("candidates", f"none for {_some(without)}", "a caption for each image that has references")
    if empty := [name for name, captions in references.items() if not captions]:
        raise BadData("references", f"an empty list for {_some(empty)}", "at least one reference per image")
    if strings := [name for name, captions in references.items() if isinstance(captions, str)]:
        raise BadData("references", f"a string for {_some(strings)}", "a list of strings per image")


def _some(names: Collection[str]) -> str:
    """Up to three of the names, and how many more there are."""
    first = ", ".join(sorted(names)[:3])
    return f"{first} and {len(names) - 3} more" if len(names) > 3 else first


def agreement(systems: Sequence[Sequence[str]], language: str) -> Floats:
    """How alike the systems caption each image, `[B]` from 0 to 1: mean ROUGE-L of each caption against each other.

    `systems`: of each, a caption for each image.
    """
    said = [[split_words(caption, language) for caption in captions] for captions in systems]
    pairs = [(one, other) for one in said for other in said if one is not other]
    found = [rouge_l(number(one, [[words] for words in other])) for one, other in pairs]
    return np.asarray(np.mean(found, axis=0), np.float64)
