"""METEOR 1.5 (Denkowski & Lavie 2014), from the Java program in pycocoevalcap.

The program aligns each caption with its best reference: exact matches, stems, synonyms and paraphrases. It prints 23
sufficient statistics per image; those of several images are their sums. The score is computed from them here, so that
images, the corpus and a thousand bootstrap resamples need one run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from showtell.errors import BadConfig
from showtell.metrics.java_program import check_inputs, import_pycocoevalcap, module_folder, run_java
from showtell.metrics.ngrams import Floats, Integers

NUM_STATS: Final = 23

# The program's "rank" parameters for English, and the weights of exact, stem, synonym and paraphrase matches.
ALPHA: Final = 0.85
BETA: Final = 0.2
GAMMA: Final = 0.6
DELTA: Final = 0.75
WEIGHTS: Final = np.array([1.0, 0.6, 0.8, 0.6])

_ARGUMENTS: Final = ["-", "-", "-stdio", "-l", "en", "-norm"]
_MAX_HEAP: Final = "-Xmx2G"  # as pycocoevalcap has it


class MeteorScores(NamedTuple):
    """Of B images."""

    per_image: Floats
    """`[B]`, from 0 to 1."""
    corpus: float
    """From summed statistics; not the mean of `per_image`."""
    stats: Integers
    """`[B, 23]`, see `meteor_from_stats`."""


def meteor(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], language: str = "en"
) -> MeteorScores:
    """One tokenized caption and one or more tokenized references for each of B images.

    Raises BadConfig for a language other than English, without Java and when the program fails; MissingExtra without
    pycocoevalcap; BadData for an image without references.
    """
    check_inputs("METEOR", candidates, references, language)
    if not candidates:
        return _scores(np.zeros((0, NUM_STATS), np.int64))
    module = import_pycocoevalcap("meteor.meteor")
    lines = "".join(_request(*image) for image in zip(candidates, references, strict=True))
    output = run_java("METEOR", [_MAX_HEAP, "-jar", module.METEOR_JAR, *_ARGUMENTS], module_folder(module), lines)
    return _scores(_parse_stats(output, len(candidates)))


def meteor_from_stats(stats: Integers | Floats) -> Floats:
    """`[..., 23]` -> METEOR `[...]`.

    Columns, each for (caption, reference): 0-1 words; 2-3 function words among them; 4-19 matched (content, function)
    words by exact match, stem, synonym and paraphrase; 20 chunks (one number); 21-22 all matched words. Statistics of
    several images are their sums.
    """
    length, function = stats[..., 0:2], stats[..., 2:4]
    matches = stats[..., 4:20].reshape(*stats.shape[:-1], len(WEIGHTS), 2, 2)  # [..., kind, content/function, side]
    content_and_function = np.array([DELTA, 1 - DELTA])
    weighted_matches = np.einsum("...kfs,k,f->...s", matches, WEIGHTS, content_and_function)
    weighted_length = DELTA * (length - function) + (1 - DELTA) * function
    precision, recall = np.moveaxis(_safe_divide(weighted_matches, weighted_length), -1, 0)
    f_mean = _safe_divide(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
    chunks, matched = stats[..., 20], stats[..., 21:23].sum(axis=-1) / 2
    return np.asarray(np.maximum(0, f_mean * (1 - GAMMA * _safe_divide(chunks, matched) ** BETA)), np.float64)


def _safe_divide(numerator: Floats | Integers, denominator: Floats | Integers) -> Floats:
    """0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator > 0)


def _scores(stats: Integers) -> MeteorScores:
    return MeteorScores(meteor_from_stats(stats), float(meteor_from_stats(stats.sum(axis=0))), stats)


def _request(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    """The input line for one image."""
    return " ||| ".join(["SCORE", *map(_sanitized, references), _sanitized(candidate)]) + "\n"


def _sanitized(words: Sequence[str]) -> str:
    """Without the program's separators; pycocoevalcap removes the bars from candidates only."""
    return re.sub(r"[\r\n]", " ", " ".join(words)).replace("|||", "").replace("  ", " ")


def _parse_stats(output: str, images: int) -> Integers:
    try:
        stats = np.array([line.split() for line in output.splitlines()], np.float64).reshape(-1, NUM_STATS)
    except ValueError as error:
        raise _unexpected_output(output) from error
    if len(stats) != images:
        raise _unexpected_output(output)
    matched, length, chunks = stats[:, 4:20].reshape(-1, 8, 2).sum(axis=1), stats[:, :2], stats[:, 20]
    # A caption equal to its reference has one chunk and no penalty. The program handles this case for single images and
    # leaves such chunks out of its sums; without these chunks one formula serves both.
    chunks[(matched == length).all(axis=-1) & (chunks == 1)] = 0
    return stats.astype(np.int64)


def _unexpected_output(output: str) -> BadConfig:
    unexpected = next((line for line in output.splitlines() if len(line.split()) != NUM_STATS), "too few lines")
    return BadConfig(
        f"METEOR's Java program printed {unexpected[:80]!r}; expected {NUM_STATS} numbers for each image; "
        "leave METEOR out"
    )
