"""METEOR 1.5 (Denkowski & Lavie 2014), from the Java program in pycocoevalcap.

The program finds, for each caption, the reference that it fits best: equal words, words of one stem, synonyms, and
paraphrases are matched. What it says of an image are 23 counts, and those of many images are their sums; the formula
that makes a score of them is here, so that a corpus, an image or a thousand resampled corpora need one run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from showtell.errors import BadConfig
from showtell.metrics.java_program import check_captions, folder_of, pycocoevalcap, run_java
from showtell.metrics.ngrams import Floats, Integers

COUNTS: Final = 23

# The program's "rank" parameters and its weights of exact, stem, synonym and paraphrase matches, for English.
ALPHA: Final = 0.85
BETA: Final = 0.2
GAMMA: Final = 0.6
DELTA: Final = 0.75
WEIGHTS: Final = np.array([1.0, 0.6, 0.8, 0.6])

_SETTINGS: Final = ["-", "-", "-stdio", "-l", "en", "-norm"]
_MEMORY: Final = "-Xmx2G"  # as pycocoevalcap has it


class Meteor(NamedTuple):
    """What `meteor` finds for B images."""

    each: Floats
    """`[B]`, from 0 to 1."""
    corpus: float
    """Of all captions together, which is no mean of `each`."""
    counts: Integers
    """`[B, 23]`, see `meteor_score`."""


def meteor(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], language: str = "en"
) -> Meteor:
    """Of B captions, in words as `split_words` gives them, and the references of each.

    Raises BadConfig for another language than English, without Java and when the program fails; MissingExtra without
    pycocoevalcap; BadData for an image without references.
    """
    check_captions("METEOR", candidates, references, language)
    if not candidates:
        return _meteor(np.zeros((0, COUNTS), np.int64))
    program = pycocoevalcap("meteor.meteor")
    lines = "".join(_one_line(*image) for image in zip(candidates, references, strict=True))
    output = run_java("METEOR", [_MEMORY, "-jar", program.METEOR_JAR, *_SETTINGS], folder_of(program), lines)
    return _meteor(_read(output, len(candidates)))


def meteor_score(counts: Integers | Floats) -> Floats:
    """`[..., 23]` -> METEOR `[...]`.

    The counts are: words, and function words among them, each of the caption and the reference; content words and
    function words that match, each of both, exactly, by stem, as synonyms and as paraphrases; chunks; and all words
    that match, of both. Those of several images are the sums of theirs.
    """
    length, function = counts[..., 0:2], counts[..., 2:4]
    matches = counts[..., 4:20].reshape(*counts.shape[:-1], len(WEIGHTS), 2, 2)  # by kind, content or function, of whom
    content_or_function = np.array([DELTA, 1 - DELTA])
    matching = np.einsum("...kfw,k,f->...w", matches, WEIGHTS, content_or_function)
    possible = DELTA * (length - function) + (1 - DELTA) * function
    precision, recall = np.moveaxis(_divide(matching, possible), -1, 0)
    mean = _divide(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
    chunks, matched = counts[..., 20], counts[..., 21:23].sum(axis=-1) / 2
    return np.asarray(np.maximum(0, mean * (1 - GAMMA * _divide(chunks, matched) ** BETA)), np.float64)


def _divide(above: Floats | Integers, below: Floats | Integers) -> Floats:
    """0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)


def _meteor(counts: Integers) -> Meteor:
    return Meteor(meteor_score(counts), float(meteor_score(counts.sum(axis=0))), counts)


def _one_line(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    """The program's way to ask for an image's counts."""
    return " ||| ".join(["SCORE", *map(_text, references), _text(candidate)]) + "\n"


def _text(words: Sequence[str]) -> str:
    """Without what has a meaning to the program; pycocoevalcap takes the bars out of candidates only."""
    return re.sub(r"[\r\n]", " ", " ".join(words)).replace("|||", "").replace("  ", " ")


def _read(output: str, images: int) -> Integers:
    try:
        counts = np.array([line.split() for line in output.splitlines()], np.float64).reshape(-1, COUNTS)
    except ValueError as error:
        raise _misunderstood(output) from error
    if len(counts) != images:
        raise _misunderstood(output)
    matched, length, chunks = counts[:, 4:20].reshape(-1, 8, 2).sum(axis=1), counts[:, :2], counts[:, 20]
    # A caption that is its reference, word for word, has one chunk, which costs nothing. The program knows this of an
    # image and forgets it in sums, where it leaves such chunks out; without them, image and sum are treated alike.
    chunks[(matched == length).all(axis=-1) & (chunks == 1)] = 0
    return counts.astype(np.int64)


def _misunderstood(output: str) -> BadConfig:
    odd = next((line for line in output.splitlines() if len(line.split()) != COUNTS), "too few lines")
    return BadConfig(f"METEOR's Java program said {odd[:80]!r}, not {COUNTS} numbers for each image; leave METEOR out")
