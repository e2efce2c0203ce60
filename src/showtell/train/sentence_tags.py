"""Tags for sentences without photos: what a classifier might have seen in the photo that a sentence is about.

A decoder learns from them what a tag has to do with a word, also for things that no photo of the data shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

LANGUAGE = "en"
"""Of the nouns."""
MISSED = 0.3
"""Share of a sentence's nouns that the classifier is to have missed: it knows a thousand classes, and errs."""
WRONG = 3
"""Nouns that it is to have seen wrongly."""
SURE = (0.4, 1.0)
"""The sum of its probabilities for nouns; other classes, without one, have the rest."""
WORD = re.compile(r"[a-z]+")


def word_forms(nouns: Sequence[str]) -> dict[str, int]:
    """The column of a noun by its singular and plural forms."""
    forms: dict[str, int] = {}
    for column, noun in enumerate(nouns):
        endings = ("", "s", "es") if not noun.endswith("y") else ("", "s")
        forms |= {noun + ending: column for ending in endings}
        if noun.endswith("y"):
            forms[noun[:-1] + "ies"] = column
    return forms


def nouns_of(texts: Iterable[tuple[str, str]], forms: dict[str, int]) -> NDArray[np.int64]:
    """The columns of the nouns in the English ones of the texts (language and sentence), in ascending order."""
    found = {
        forms[word]
        for language, sentence in texts
        if language == LANGUAGE
        for word in WORD.findall(sentence.lower())
        if word in forms
    }
    return np.array(sorted(found), np.int64)


def imagine(nouns: Sequence[NDArray[np.int64]], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """[B, count]: made-up probabilities of `count` nouns, for B images in whose sentences are `nouns`."""
    made = np.zeros((len(nouns), count), np.float32)
    if not count:
        return made
    for row, columns in zip(made, nouns, strict=True):
        seen = columns[rng.random(len(columns)) >= MISSED]
        for column in (*seen, *rng.integers(count, size=WRONG)):
            row[column] = rng.exponential()
        row *= rng.uniform(*SURE) / row.sum()
    return made
