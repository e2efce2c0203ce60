"""Right-to-left text for renderers without bidirectional layout: visual order, and Arabic letters in joined forms.

Pillow's basic layout and many terminals draw one character after the other from the left. Captions are stored in
logical (reading) order; this conversion is applied last, to what is displayed, never to what is written to a file.

The order is that of the Unicode bidirectional algorithm (UAX 9), where brackets and numbers depend on their neighbours.
Therefore whole lines are reordered, not single words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from arabic_reshaper import ArabicReshaper

INVISIBLE_CLASSES: Final = frozenset({"B", "S", "BN", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Bidirectional classes of characters without a glyph."""
VARIATION_SELECTORS: Final = frozenset(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
"""They select a glyph variant of the letter before them."""
TAG_BASE: Final = 120
HIGH_DIGITS: Final = [chr(0xE0100 + digit) for digit in range(TAG_BASE)]
LOW_DIGITS: Final = [chr(0xE0178 + digit) for digit in range(TAG_BASE)]
"""Variation selectors that serve as digits of a tag in `_reorder`."""


class VisualWord(NamedTuple):
    """A word of a line in visual order."""

    position: int
    """In logical order."""
    text: str
    """Letters from left to right, in joined forms."""


def has_right_to_left(text: str) -> bool:
    """Whether the text has a letter or digit of a right-to-left script."""
    return any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)


def visual_text(text: str) -> str:
    """A right-to-left text in visual order, with joined forms."""
    return "".join(letter for _, letter in _reorder([_shape(text)], right_to_left=True))


def visual_order(words: Sequence[str]) -> list[int]:
    """Indices of the words of a right-to-left line in visual order. Latin words and numbers after them keep their order
    among themselves."""
    return [word.position for word in visual_line(words, right_to_left=True)]


def visual_line(words: Sequence[str], right_to_left: bool) -> list[VisualWord]:
    """The words of a line in visual order. A word with letters of both directions stays in one piece."""
    segments: list[str] = []  # words at even indices, spaces between
    for word in words:
        segments += [_shape(word), " "]
    if not right_to_left and not any(map(has_right_to_left, words)):
        return [VisualWord(index, segment) for index, segment in enumerate(segments[::2])]
    letters: dict[int, str] = {}
    for segment, letter in _reorder(segments[:-1], right_to_left):
        if segment % 2 == 0:
            letters[segment // 2] = letters.get(segment // 2, "") + letter
    empty = [VisualWord(index, "") for index, segment in enumerate(segments[::2]) if not segment]
    return [*(VisualWord(index, text) for index, text in letters.items()), *empty]


def _reorder(segments: Sequence[str], right_to_left: bool) -> list[tuple[int, str]]:
    """The letters of a line in visual order, each with the index of its segment.

    python-bidi returns letters but not their origins. So each letter is followed by a tag of two variation selectors,
    the digits of its segment's index. The algorithm treats them as part of their letter: they stay after a
    left-to-right letter and before a right-to-left one. It does not mirror brackets that have a tag; this is done here.
    """
    from bidi import get_display
    from bidi.mirror import MIRRORED

    tagged = "".join(_tag_letters(segment, index) for index, segment in enumerate(segments))
    display = str(get_display(tagged, base_dir="R" if right_to_left else "L"))
    letters: list[tuple[int, str]] = []
    start = 0
    while start < len(display):
        if display[start] in LOW_DIGITS:  # a right-to-left letter
            low, high, letter = list(display[start : start + 3])
            letter = MIRRORED.get(letter, letter)
        elif display[start + 1] in HIGH_DIGITS:
            letter, high, low = list(display[start : start + 3])
        else:  # the separator inside a number, without a tag; a digit of the number is before it
            letters.append((letters[-1][0], display[start]))
            start += 1
            continue
        letters.append((HIGH_DIGITS.index(high) * TAG_BASE + LOW_DIGITS.index(low), letter))
        start += 3
    return letters


def _tag_letters(segment: str, index: int) -> str:
    """Adds the tags of `_reorder`, but not after the point of 0.5: a separator is part of a number only if digits are
    directly beside it."""
    tag = HIGH_DIGITS[index // TAG_BASE] + LOW_DIGITS[index % TAG_BASE]
    classes = ["", *map(unicodedata.bidirectional, segment), ""]
    neighbours = zip(classes, classes[1:], classes[2:], strict=False)
    return "".join(
        letter if current in ("CS", "ES") and {before, after} <= {"EN", "AN"} else letter + tag
        for letter, (before, current, after) in zip(segment, neighbours, strict=True)
    )


def _shape(text: str) -> str:
    """Arabic letters in joined forms, without characters that have no glyph."""
    text = unicodedata.normalize("NFC", text)
    if has_right_to_left(text):
        text = _reshaper().reshape(text)
    return "".join(
        c for c in text if c not in VARIATION_SELECTORS and unicodedata.bidirectional(c) not in INVISIBLE_CLASSES
    )


@cache
def _reshaper() -> ArabicReshaper:
    from arabic_reshaper import ArabicReshaper

    # The single character for "Allah" (U+FDF2) does not fit in one terminal cell. The lam-alef ligature is mandatory
    # and stays.
    return ArabicReshaper({"ARABIC LIGATURE ALLAH": "no"})
