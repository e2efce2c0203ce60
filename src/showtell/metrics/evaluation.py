"""Evaluation of one system: all metrics of its captions with intervals, per image, and differences to another
system."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from showtell.errors import BadConfig, BadData
from showtell.languages import canonical_tag, language_info
from showtell.metrics.bleu import bleu_from_stats, bleu_stats
from showtell.metrics.cider import cider
from showtell.metrics.diversity import (
    bad_endings,
    content_recall,
    distinct_n,
    novelty,
    self_cider,
    unique_captions,
    vocab_size,
)
from showtell.metrics.intervals import (
    Difference,
    Estimate,
    bootstrap_difference,
    bootstrap_estimate,
    bootstrap_weights,
    jackknife_difference,
    jackknife_estimate,
)
from showtell.metrics.ngrams import MAX_N, Floats, Integers, build_corpus, count_ngrams
from showtell.metrics.rouge import rouge_l
from showtell.metrics.tokenization import split_at_spaces, tokenize

BLEU_NAMES: Final = tuple(f"BLEU-{n}" for n in range(1, MAX_N + 1))
JAVA_METRICS: Final = ("METEOR", "SPICE")
RESAMPLES: Final = 1000


def score(
    candidates: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str = "en"
) -> dict[str, float]:
    """`BLEU-1` to `BLEU-4`, `ROUGE-L` and `CIDEr` as pycocoevalcap computes them, and diversity metrics.

    Both mappings are by image name, in any order. docs/metrics.md explains each metric.

    Raises BadData when the images differ, and when there are none or some have no reference; BadConfig for what is no
    language tag.
    """
    return Evaluation(candidates, references, language).scores


class _AdditiveMetric(NamedTuple):
    """Metrics computed from statistics that add up over images: BLEU from its counts, a mean from its terms."""

    names: tuple[str, ...]
    stats: Floats | Integers
    """`[B, k]`"""
    from_sums: Callable[[Floats], Floats]
    """Summed statistics `[..., k]` -> `[..., names]`"""
    per_image: Floats
    """`[B, names]`"""


class Evaluation:
    """Scores candidate captions against references.

    `scores` are those of the whole set, `per_image` those of single images, `estimates()` adds intervals.
    """

    def __init__(
        self,
        candidates: Mapping[str, str],
        references: Mapping[str, Sequence[str]],
        language: str = "en",
        *,
        alternatives: Mapping[str, Sequence[str]] | None = None,
        training_captions: Collection[str] | None = None,
        teacher_forced: Mapping[str, tuple[int, int, float]] | None = None,
        java: Sequence[str] = (),
    ) -> None:
        """All mappings are by image name.

        `alternatives`, several captions for each image, adds `self-CIDEr`; `training_captions` adds `novelty`;
        `teacher_forced`, per image (reference words, words among the five likeliest, summed cross-entropy in nats),
        adds `top-5` and `loss`; `java` names METEOR and SPICE.

        Raises BadData when the images differ, and when there are none or some have no reference; BadConfig for
        what is no language tag and for METEOR or SPICE without Java; MissingExtra for them without
        pycocoevalcap.
        """
        _check_images(candidates, references)
        for optional in (alternatives, teacher_forced):
            if optional is not None and (missing := candidates.keys() - optional.keys()):
                expected = "some for each candidate"
                raise BadData("alternatives or teacher-forced scores", f"none for {_listed(missing)}", expected)
        self.image_names = tuple(candidates)
        tokenize("", language)
        self.language = canonical_tag(language)
        self._candidates = [tokenize(caption, language) for caption in candidates.values()]
        self._references = [[tokenize(caption, language) for caption in references[name]] for name in candidates]
        self._additive = self._additive_metrics(alternatives, training_captions, teacher_forced, java)
        self._corpus_scores = {
            "unique": unique_captions(self._candidates),
            "distinct-1": distinct_n(self._candidates, 1),
            "distinct-2": distinct_n(self._candidates, 2),
            "vocab_size": vocab_size(self._candidates),
        }
        self._resampled_cache: tuple[tuple[int, int], dict[str, Floats]] | None = None

    def _additive_metrics(
        self,
        alternatives: Mapping[str, Sequence[str]] | None,
        training_captions: Collection[str] | None,
        teacher_forced: Mapping[str, tuple[int, int, float]] | None,
        java: Sequence[str],
    ) -> list[_AdditiveMetric]:
        # pycocoevalcap's ROUGE sees `2 1/2`, with a no-break space inside, as one word, its BLEU and CIDEr as two.
        split_references = [[split_at_spaces(words) for words in captions] for captions in self._references]
        corpus = build_corpus([split_at_spaces(words) for words in self._candidates], split_references)
        rouge_corpus = (
            corpus if self._references == split_references else build_corpus(self._candidates, self._references)
        )
        ngrams = list(count_ngrams(corpus))
        stats = bleu_stats(corpus, ngrams)
        metrics = [
            _AdditiveMetric(BLEU_NAMES, stats, bleu_from_stats, bleu_from_stats(stats)),
            _mean("ROUGE-L", rouge_l(rouge_corpus)),
            _mean("CIDEr", cider(corpus, ngrams)),
            *(self._java_metric(name) for name in java),
            _mean("length", np.array([len(words) for words in self._candidates], np.float64)),
        ]
        info = language_info(self.language)
        if info.bad_endings:
            metrics.append(_mean("bad_endings", bad_endings(self._candidates, self.language)))
        if info.function_words:
            metrics.append(_mean("content_recall", content_recall(self._candidates, self._references, self.language)))
        if training_captions is not None:
            tokenized = {tuple(tokenize(caption, self.language)) for caption in training_captions}
            metrics.append(_mean("novelty", novelty(self._candidates, tokenized)))
        if alternatives is not None:
            captions = [[tokenize(c, self.language) for c in alternatives[name]] for name in self.image_names]
            metrics.append(_mean("self-CIDEr", self_cider(captions, self._references)))
        if teacher_forced is not None:
            rows = np.array([teacher_forced[name] for name in self.image_names], np.float64)
            metrics.append(_teacher_forced_metrics(rows))
        return metrics

    def _java_metric(self, name: str) -> _AdditiveMetric:
        if name == "METEOR":
            from showtell.metrics.java import meteor, meteor_from_stats

            scores = meteor(self._candidates, self._references, self.language)
            per_image = scores.per_image[:, None]
            return _AdditiveMetric(
                ("METEOR",), scores.stats, lambda sums: meteor_from_stats(sums)[..., None], per_image
            )
        if name == "SPICE":
            from showtell.metrics.java import spice

            return _mean("SPICE", spice(self._candidates, self._references, self.language))
        raise BadConfig(f"found the metric {name!r}; expected {' or '.join(JAVA_METRICS)}")

    @property
    def scores(self) -> dict[str, float]:
        """Every metric, from 0 to 1; but CIDEr is from 0 to 10, `length` and `vocab_size` count words, `loss` is in
        nats."""
        all_images = self._weighted(np.ones((1, len(self.image_names))))[0]
        additive = dict(zip(self._additive_names, all_images.tolist(), strict=True))
        return additive | {name: corpus_score.value for name, corpus_score in self._corpus_scores.items()}

    @property
    def per_image(self) -> dict[str, Floats]:
        """Scores of single images, `[B]` each. CIDEr of an image depends on the other images' references."""
        columns = np.concatenate([metric.per_image for metric in self._additive], axis=1)
        return dict(zip(self._additive_names, columns.T, strict=True))

    def estimates(self, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
        """Every metric with its interval, `nan` for a single image."""
        scores = self.scores
        if len(self.image_names) < 2:
            return {name: Estimate(value, np.nan, np.nan) for name, value in scores.items()}
        resampled = self._resampled(resamples, seed)
        maxima = {"vocab_size": np.inf}
        return {
            name: bootstrap_estimate(value, resampled[name])
            if name in resampled
            else jackknife_estimate(value, self._corpus_scores[name].leave_one_out, maxima.get(name, 1.0))
            for name, value in scores.items()
        }

    def difference(self, other: Evaluation, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Difference]:
        """This system minus `other`, for each metric that both have, on the same images in the same order; with `nan`
        bounds for a single image.

        Raises BadData when the images differ.
        """
        if self.image_names != other.image_names:
            raise BadData("the two systems", "captions of other images, or in another order", "the same images")
        scores, other_scores = self.scores, other.scores
        differences = {name: scores[name] - other_scores[name] for name in scores if name in other_scores}
        if len(self.image_names) < 2:
            return {name: Difference(value, np.nan, np.nan, np.nan) for name, value in differences.items()}
        resampled, other_resampled = self._resampled(resamples, seed), other._resampled(resamples, seed)
        return {
            name: bootstrap_difference(value, resampled[name] - other_resampled[name])
            if name in resampled
            else jackknife_difference(
                value, self._corpus_scores[name].leave_one_out - other._corpus_scores[name].leave_one_out
            )
            for name, value in differences.items()
        }

    @property
    def _additive_names(self) -> list[str]:
        return [name for metric in self._additive for name in metric.names]

    def _weighted(self, weights: Floats) -> Floats:
        """Scores with images weighted by `[resamples, B]`, `[resamples, names]`."""
        return np.concatenate([metric.from_sums(weights @ metric.stats) for metric in self._additive], axis=1)

    def _resampled(self, resamples: int, seed: int) -> dict[str, Floats]:
        """Each additive metric of each bootstrap resample, `[resamples]` each."""
        if self._resampled_cache is None or self._resampled_cache[0] != (resamples, seed):
            batches = bootstrap_weights(len(self.image_names), resamples, seed)
            scores = np.concatenate([self._weighted(weights) for weights in batches])
            # Cached, since the baseline of a comparison is needed again for every system.
            self._resampled_cache = (resamples, seed), dict(zip(self._additive_names, scores.T, strict=True))
        return self._resampled_cache[1]


def _mean(name: str, per_image: Floats) -> _AdditiveMetric:
    return _AdditiveMetric((name,), per_image[:, None], lambda sums: sums / len(per_image), per_image[:, None])


def _teacher_forced_metrics(stats: Floats) -> _AdditiveMetric:
    """`stats` `[B, 3]`: reference words, words among the five likeliest, summed cross-entropy."""

    def from_sums(sums: Floats) -> Floats:
        return sums[..., 1:] / np.maximum(1, sums[..., :1])

    return _AdditiveMetric(("top-5", "loss"), stats, from_sums, from_sums(stats))


def _check_images(candidates: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    if not candidates:
        raise BadData("candidates", "no captions", "at least one")
    if missing := candidates.keys() - references.keys():
        raise BadData("references", f"none for {_listed(missing)}", "references for each image that has a caption")
    if missing := references.keys() - candidates.keys():
        raise BadData("candidates", f"none for {_listed(missing)}", "a caption for each image that has references")
    if empty := [name for name, captions in references.items() if not captions]:
        raise BadData("references", f"an empty list for {_listed(empty)}", "at least one reference per image")
    if strings := [name for name, captions in references.items() if isinstance(captions, str)]:
        raise BadData("references", f"a string for {_listed(strings)}", "a list of strings per image")


def _listed(names: Collection[str]) -> str:
    """Up to three of the names, and how many more there are."""
    first = ", ".join(sorted(names)[:3])
    return f"{first} and {len(names) - 3} more" if len(names) > 3 else first


def agreement(systems: Sequence[Sequence[str]], language: str) -> Floats:
    """Similarity of the systems' captions of each image, `[B]` from 0 to 1: mean ROUGE-L over all ordered pairs of
    systems. `systems`: for each, one caption per image."""
    tokenized = [[tokenize(caption, language) for caption in captions] for captions in systems]
    pairs = [(a, b) for a in tokenized for b in tokenized if a is not b]
    similarities = [rouge_l(build_corpus(a, [[words] for words in b])) for a, b in pairs]
    return np.asarray(np.mean(similarities, axis=0), np.float64)
