"""Arabic for whoever puts one character beside the other, from the left: in the eye's order, in the forms that join.

Drawing libraries and many terminals do no more than that. Captions are kept as letters in the order of reading, so this
is done last, to what is shown, and never to what is written to a file.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arabic_reshaper import ArabicReshaper


def runs_right_to_left(text: str) -> bool:
    """Whether any of its letters or digits is one of a script that runs from right to left."""
    return any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)


def letters_in_order(text: str) -> str:
    """The letters of a text that runs from right to left, from left to right, each in the form that its neighbours ask
    for."""
    from bidi import get_display

    return str(get_display(_reshaper().reshape(text), base_dir="R"))


def words_in_order(words: Sequence[str]) -> list[int]:
    """Numbers of the words of a line that runs from right to left, from left to right. Latin words and the numbers
    after them keep their order among themselves, as the bidirectional algorithm has it."""
    runs: list[list[int]] = []
    after_latin = joins = False
    for n, word in enumerate(words):
        classes = {unicodedata.bidirectional(character) for character in word}
        if classes & {"L", "R", "AL"}:
            after_latin = not classes & {"R", "AL"}
        joined, joins = joins, after_latin and "AN" not in classes
        if joined and joins:
            runs[-1].append(n)
        else:
            runs.append([n])
    return [n for run in reversed(runs) for n in run]


@cache
def _reshaper() -> ArabicReshaper:
    from arabic_reshaper import ArabicReshaper

    # One character for the whole of "Allah" (U+FDF2) does not fit one cell of a terminal. Lam with alef is always one,
    # and stays.
    return ArabicReshaper({"ARABIC LIGATURE ALLAH": "no"})
