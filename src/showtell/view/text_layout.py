"""Layout of Latin and Arabic words in pictures, in either direction.

The font is part of the package, so that pictures are the same on every machine. Pillow's basic layout engine is used,
since few installations have libraqm, which its bidirectional one needs; `shaping` does the reordering. A letter that
the font lacks is drawn as an empty box.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from PIL import ImageDraw, ImageFont

from showtell.view.shaping import has_right_to_left, visual_line

FONT: Final = Path(str(files("showtell"))) / "view" / "fonts" / "NotoSansLatinArabic.ttf"
MIN_LABEL_SIZE: Final = 14
"""Font size below which a label is truncated instead of shrunk."""
LINE_HEIGHT: Final = 1.5
"""Relative to the font size. Arabic letters are taller than Latin ones."""
CAP_HEIGHT: Final = 0.72
"""Height of a capital letter relative to the font size."""


class PlacedWord(NamedTuple):
    """A word of a caption and its position, in pixels."""

    position: int
    """In logical order."""
    text: str
    """In visual order."""
    left: float
    line: int
    width: float


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), size, layout_engine=ImageFont.Layout.BASIC)


def drawable(text: str, right_to_left: bool = False) -> str:
    """A label in visual order with joined forms. Text with Arabic letters is right to left in any case; `right_to_left`
    decides for any other, such as a bracket."""
    words = text.split(" ")
    return " ".join(word.text for word in visual_line(words, right_to_left or has_right_to_left(text)))


def layout_words(
    words: Sequence[str], typeface: ImageFont.FreeTypeFont, width: float, right_to_left: bool
) -> list[PlacedWord]:
    """The words in as few lines as fit in `width`, of balanced lengths, aligned left or right; in logical order."""
    space = typeface.getlength(" ")
    widths = [typeface.getlength(drawable(word)) for word in words]
    placed = []
    for number, line in enumerate(_balanced_lines(widths, space, width)):
        left = width - sum(widths[index] for index in line) - space * (len(line) - 1) if right_to_left else 0.0
        for position, text in visual_line([words[index] for index in line], right_to_left):
            index = line[position]
            placed.append(PlacedWord(index, text, left, number, widths[index]))
            left += widths[index] + space
    return sorted(placed)


def fit_font_size(words: Sequence[str], size: int, width: float) -> int:
    """`size`, or the smaller one at which the longest word fits in `width`."""
    longest = max((font(size).getlength(drawable(word)) for word in words), default=0.0)
    return size if longest <= width else max(1, int(size * width / longest))


def draw_label(
    draw: ImageDraw.ImageDraw,
    word: str,
    left: float,
    baseline: float,
    width: float,
    size: int,
    color: str,
    align_right: bool,
) -> None:
    """One word, aligned left or right in `width`; shrunk if it is too long, and truncated if that is not enough."""
    size = max(min(MIN_LABEL_SIZE, size), fit_font_size([word], size, width))
    typeface = font(size)
    truncated = word
    while typeface.getlength(drawable(truncated)) > width and len(truncated) > 1:
        truncated = truncated.removesuffix("…")[:-1] + "…"
    x, anchor = (left + width, "rs") if align_right else (left, "ls")
    draw.text((x, baseline), drawable(truncated, right_to_left=align_right), color, typeface, anchor=anchor)


def _balanced_lines(widths: Sequence[float], space: float, width: float) -> list[list[int]]:
    """As many lines as `width` requires, broken at the smallest width that needs no more: no word is left alone."""
    lines = _break_lines(widths, space, width)
    low, high = 0.0, width
    while high - low > 1:
        middle = (low + high) / 2
        narrower = _break_lines(widths, space, middle)
        if len(narrower) > len(lines):
            low = middle
        else:
            lines, high = narrower, middle
    return lines


def _break_lines(widths: Sequence[float], space: float, width: float) -> list[list[int]]:
    """Word indices of each line."""
    lines: list[list[int]] = []
    remaining = 0.0
    for index, word_width in enumerate(widths):
        remaining -= space + word_width
        if not lines or remaining < 0:
            lines.append([])
            remaining = width - word_width
        lines[-1].append(index)
    return lines
