"""Arabic for whoever puts one character beside the other, from the left: in the eye's order, in the forms that join.

Drawing libraries and many terminals do no more than that. Captions are kept as letters in the order of reading, so this
is done last, to what is shown, and never to what is written to a file.

The order is that of Unicode's bidirectional algorithm, in which a bracket or a number goes with what stands around it.
So it is asked for a whole line, and not for one word after the other.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from arabic_reshaper import ArabicReshaper

RIGHT_TO_LEFT: Final = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "syr", "ug", "ur", "yi"})
"""Languages that run from right to left."""
UNKNOWN: Final = ("", "und")
"""What stands where a language is not known."""

UNSEEN: Final = frozenset({"B", "S", "BN", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Bidirectional classes of what has no shape of its own."""
STYLES: Final = frozenset(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
"""Marks that choose among a font's shapes of the letter before them."""
BASE: Final = 120
HIGH: Final = [chr(0xE0100 + digit) for digit in range(BASE)]
LOW: Final = [chr(0xE0178 + digit) for digit in range(BASE)]
"""Those of STYLES that are the digits of a number in `_ordered`."""


class Shown(NamedTuple):
    """A word of a line."""

    word: int
    letters: str
    """From left to right, in the forms that join."""


def language_runs_right_to_left(language: str, text: str) -> bool:
    """Whether sentences of the language do; those of an unknown one run as their first letter does."""
    if language not in UNKNOWN:
        return language.replace("_", "-").split("-")[0].lower() in RIGHT_TO_LEFT
    classes = (unicodedata.bidirectional(character) for character in text)
    return next((found != "L" for found in classes if found in ("L", "R", "AL")), False)


def runs_right_to_left(text: str) -> bool:
    """Whether any of its letters or digits is one of a script that runs from right to left."""
    return any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)


def letters_in_order(text: str) -> str:
    """The letters of a text that runs from right to left, from left to right, each in the form that its neighbours ask
    for."""
    return "".join(letter for _, letter in _ordered([_shaped(text)], right_to_left=True))


def words_in_order(words: Sequence[str]) -> list[int]:
    """Numbers of the words of a line that runs from right to left, from left to right. Latin words and the numbers
    after them keep their order among themselves, as the bidirectional algorithm has it."""
    return [shown.word for shown in line_in_order(words, right_to_left=True)]


def line_in_order(words: Sequence[str], right_to_left: bool) -> list[Shown]:
    """The words of a line from left to right. A word that has letters of both directions stays in one piece."""
    pieces: list[str] = []
    for word in words:
        pieces += [_shaped(word), " "]
    if not right_to_left and not any(map(runs_right_to_left, words)):
        return [Shown(n, piece) for n, piece in enumerate(pieces[::2])]
    letters: dict[int, str] = {}
    for piece, letter in _ordered(pieces[:-1], right_to_left):
        if piece % 2 == 0:
            letters[piece // 2] = letters.get(piece // 2, "") + letter
    empty = [Shown(n, "") for n, piece in enumerate(pieces[::2]) if not piece]
    return [*(Shown(word, drawn) for word, drawn in letters.items()), *empty]


def _ordered(pieces: Sequence[str], right_to_left: bool) -> list[tuple[int, str]]:
    """The letters of a line from left to right, each with the number of its piece.

    The library returns letters and not where each of them was. So each gets two marks behind it, the digits of its
    piece's number: the algorithm takes such marks for a part of their letter, and leaves them behind one that runs
    from left to right, and before another. Brackets of the latter are not yet mirrored.
    """
    from bidi import get_display
    from bidi.mirror import MIRRORED

    marked = "".join(_marked(piece, n) for n, piece in enumerate(pieces))
    drawn = str(get_display(marked, base_dir="R" if right_to_left else "L"))
    found: list[tuple[int, str]] = []
    at = 0
    while at < len(drawn):
        if drawn[at] in LOW:
            low, high, letter = drawn[at], drawn[at + 1], drawn[at + 2]
            letter = MIRRORED.get(letter, letter)
        elif drawn[at + 1] in HIGH:
            letter, high, low = drawn[at], drawn[at + 1], drawn[at + 2]
        else:  # the point of a number, one of whose digits is before it
            found.append((found[-1][0], drawn[at]))
            at += 1
            continue
        found.append((HIGH.index(high) * BASE + LOW.index(low), letter))
        at += 3
    return found


def _marked(piece: str, number: int) -> str:
    """With the marks of `_ordered`, but not behind the point of 0.5: the algorithm takes that for a part of a number
    only with digits right beside it."""
    tag = HIGH[number // BASE] + LOW[number % BASE]
    classes = ["", *map(unicodedata.bidirectional, piece), ""]
    return "".join(
        letter if at in ("CS", "ES") and {before, after} <= {"EN", "AN"} else letter + tag
        for letter, (before, at, after) in zip(piece, zip(classes, classes[1:], classes[2:], strict=False), strict=True)
    )


def _shaped(text: str) -> str:
    """In the forms that join, without what has no shape."""
    text = unicodedata.normalize("NFC", text)
    if runs_right_to_left(text):
        text = _reshaper().reshape(text)
    return "".join(c for c in text if c not in STYLES and unicodedata.bidirectional(c) not in UNSEEN)


@cache
def _reshaper() -> ArabicReshaper:
    from arabic_reshaper import ArabicReshaper

    # One character for the whole of "Allah" (U+FDF2) does not fit one cell of a terminal. Lam with alef is always one,
    # and stays.
    return ArabicReshaper({"ARABIC LIGATURE ALLAH": "no"})
