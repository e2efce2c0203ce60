"""Words in pictures, of Latin or Arabic letters, in lines that run as their letters do.

The letters come from a font in the package, so that a picture looks alike on every machine. Pillow's own layout puts
one beside the other (the one that knows Arabic needs a library that few installations have); `shaping` does the rest.
For a letter that the font lacks it has an empty box.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from PIL import ImageDraw, ImageFont

from showtell.view.shaping import line_in_order, runs_right_to_left

FONT: Final = Path(str(files("showtell"))) / "view" / "fonts" / "NotoSansLatinArabic.ttf"
SMALLEST: Final = 14
"""Size of letters below which a label is cut instead."""
LEADING: Final = 1.5
"""From line to line, in sizes of the font: Arabic letters reach further up and down than Latin ones."""
CAPITAL: Final = 0.72
"""Height of a capital letter, in sizes of the font."""


class Place(NamedTuple):
    """Where a word of a caption stands."""

    word: int
    text: str
    """Its letters as they are drawn, from the left."""
    left: float
    line: int
    width: float


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), size, layout_engine=ImageFont.Layout.BASIC)


def drawable(text: str, right_to_left: bool = False) -> str:
    """The letters of a word that stands alone, in the order and the form in which they are drawn, from the left. One of
    Arabic letters runs their way; any other, such as a bracket, as it is told."""
    words = text.split(" ")
    return " ".join(shown.letters for shown in line_in_order(words, right_to_left or runs_right_to_left(text)))


def places(words: Sequence[str], letters: ImageFont.FreeTypeFont, width: float, right_to_left: bool) -> list[Place]:
    """The words in as few lines as `width` allows, all about equally long, from its left or its right edge; the places
    are in the words' order."""
    gap = letters.getlength(" ")
    widths = [letters.getlength(drawable(word)) for word in words]
    found = []
    for number, line in enumerate(_even_lines(widths, gap, width)):
        left = width - sum(widths[w] for w in line) - gap * (len(line) - 1) if right_to_left else 0.0
        for n, text in line_in_order([words[w] for w in line], right_to_left):
            found.append(Place(line[n], text, left, number, widths[line[n]]))
            left += widths[line[n]] + gap
    return sorted(found)


def size_for(words: Sequence[str], size: int, width: float) -> int:
    """`size`, or the lesser one at which the longest of the words is no wider than `width`."""
    longest = max((font(size).getlength(drawable(word)) for word in words), default=0.0)
    return size if longest <= width else max(1, int(size * width / longest))


def draw_label(
    draw: ImageDraw.ImageDraw, word: str, left: float, base: float, width: float, size: int, ink: str, at_right: bool
) -> None:
    """A word on the line `base`, at an end of its `width`; smaller if it is too long, and cut if that is not enough."""
    size = max(min(SMALLEST, size), size_for([word], size, width))
    letters = font(size)
    kept = word
    while letters.getlength(drawable(kept)) > width and len(kept) > 1:
        kept = kept.removesuffix("…")[:-1] + "…"
    text = drawable(kept, right_to_left=at_right)
    draw.text((left + width if at_right else left, base), text, ink, letters, anchor="rs" if at_right else "ls")


def _even_lines(widths: Sequence[float], gap: float, width: float) -> list[list[int]]:
    """As many lines as `width` asks for, broken at the least width that gives no more: no word is left over alone."""
    lines = _lines(widths, gap, width)
    low, high = 0.0, width
    while high - low > 1:
        middle = (low + high) / 2
        narrow = _lines(widths, gap, middle)
        if len(narrow) > len(lines):
            low = middle
        else:
            lines, high = narrow, middle
    return lines


def _lines(widths: Sequence[float], gap: float, width: float) -> list[list[int]]:
    """Numbers of the words in each line."""
    lines: list[list[int]] = []
    room = 0.0
    for word, wide in enumerate(widths):
        room -= gap + wide
        if not lines or room < 0:
            lines.append([])
            room = width - wide
        lines[-1].append(word)
    return lines
