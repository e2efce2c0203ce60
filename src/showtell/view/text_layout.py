"""Layout of words in pictures, in either direction.

Each word is laid out by itself (`typefaces`) and placed here. Rejected: whole lines by Pillow's layout engine, which
not every installation has, and which does not say where a word of its line stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from PIL import ImageDraw, ImageFont

from showtell.view import typefaces
from showtell.view.shaping import has_right_to_left, visual_line
from showtell.view.typefaces import OWN, Piece

MIN_LABEL_SIZE: Final = 14
"""Font size below which a label is truncated instead of shrunk."""
LINE_HEIGHT: Final = 1.5
"""Relative to the font size. Letters of other scripts are taller than Latin ones."""
CAP_HEIGHT: Final = 0.72
"""Height of a capital letter relative to the font size."""


class Text(NamedTuple):
    """One line of text, ready to be drawn in one size."""

    pieces: tuple[Piece, ...]
    """From left to right."""
    language: str
    size: int

    @property
    def width(self) -> float:
        return sum(self._length(piece) for piece in self.pieces)

    def draw(self, draw: ImageDraw.ImageDraw, left: float, baseline: float, color: str) -> None:
        for piece in self.pieces:
            typeface, language = self._typeface(piece), self._language(piece)
            position = (left, baseline)
            draw.text(position, piece.text, color, typeface, "ls", direction=piece.direction, language=language)
            left += self._length(piece)

    def _length(self, piece: Piece) -> float:
        direction, language = piece.direction, self._language(piece)
        return float(self._typeface(piece).getlength(piece.text, direction=direction, language=language))

    def _typeface(self, piece: Piece) -> ImageFont.FreeTypeFont:
        return typefaces.load(piece.file, self.size, piece.direction is not None)

    def _language(self, piece: Piece) -> str | None:
        """For the layout engine; Pillow takes none without one."""
        return None if piece.direction is None or not self.language else self.language


class PlacedWord(NamedTuple):
    """A word of a caption and its position, in pixels."""

    position: int
    """In logical order."""
    text: Text
    left: float
    line: int
    width: float


def font(size: int) -> ImageFont.FreeTypeFont:
    """The package's own."""
    return typefaces.load(OWN, size, False)


def word_text(word: str, size: int, language: str) -> Text:
    return Text(typefaces.book().pieces(word, language), language, size)


def label_text(label: str, size: int, language: str, right_to_left: bool = False) -> Text:
    """A label of any number of words. Text with Arabic or Hebrew letters is right to left in any case; `right_to_left`
    decides for any other, such as a bracket."""
    words = label.split(" ")
    pieces: list[Piece] = []
    for position, visual in visual_line(words, right_to_left or has_right_to_left(label)):
        parts = _in_line(typefaces.book().pieces(words[position], language), visual)
        pieces += [*([Piece(" ")] if pieces else []), *parts]
    return Text(tuple(pieces), language, size)


def joined_words(text: str, words: Sequence[str]) -> list[bool]:
    """For each word of a caption, whether it follows the one before without a space, as in Chinese."""
    joined: list[bool] = []
    end = 0
    for word in words:
        start = text.find(word, end)
        joined.append(bool(joined) and start == end)
        end = start + len(word) if start >= 0 else end
    return joined


def layout_words(
    words: Sequence[str],
    size: int,
    width: float,
    right_to_left: bool,
    language: str = "",
    joined: Sequence[bool] = (),
) -> list[PlacedWord]:
    """The words in as few lines as fit in `width`, of balanced lengths, aligned left or right; in logical order. No
    space is before a `joined` word."""
    joined = joined or [False] * len(words)
    space = font(size).getlength(" ")
    texts = [word_text(word, size, language) for word in words]
    widths = [text.width for text in texts]
    placed: list[PlacedWord] = []
    for number, line in enumerate(_balanced_lines(widths, [0.0 if flag else space for flag in joined], width)):
        left, previous, start = 0.0, None, len(placed)
        for position, visual in visual_line([words[index] for index in line], right_to_left):
            index = line[position]
            is_next = previous is not None and abs(index - previous) == 1
            if previous is not None and not (is_next and joined[max(index, previous)]):
                left += space
            text = texts[index]._replace(pieces=_in_line(texts[index].pieces, visual))
            placed.append(PlacedWord(index, text, left, number, widths[index]))
            left, previous = left + widths[index], index
        if right_to_left:
            placed[start:] = [word._replace(left=word.left + width - left) for word in placed[start:]]
    return sorted(placed, key=lambda word: word.position)


def fit_font_size(words: Sequence[str], size: int, width: float, language: str = "") -> int:
    """`size`, or the smaller one at which the longest word fits in `width`."""
    longest = max((word_text(word, size, language).width for word in words), default=0.0)
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
    language: str = "",
) -> None:
    """One word, aligned left or right in `width`; shrunk if it is too long, and truncated if that is not enough."""
    size = max(min(MIN_LABEL_SIZE, size), fit_font_size([word], size, width, language))
    truncated = word
    while word_text(truncated, size, language).width > width and len(truncated) > 1:
        truncated = truncated.removesuffix("…")[:-1] + "…"
    text = label_text(truncated, size, language, right_to_left=align_right)
    text.draw(draw, left + width - text.width if align_right else left, baseline, color)


def _in_line(pieces: tuple[Piece, ...], visual: str) -> tuple[Piece, ...]:
    """The word as it stands in its line, by whose other words its brackets are mirrored."""
    is_plain = len(pieces) == 1 and pieces[0].file == OWN and not pieces[0].problem
    return (Piece(visual),) if is_plain else pieces


def _balanced_lines(widths: Sequence[float], spaces: Sequence[float], width: float) -> list[list[int]]:
    """As many lines as `width` requires, broken at the smallest width that needs no more: no word is left alone."""
    lines = _break_lines(widths, spaces, width)
    low, high = 0.0, width
    while high - low > 1:
        middle = (low + high) / 2
        narrower = _break_lines(widths, spaces, middle)
        if len(narrower) > len(lines):
            low = middle
        else:
            lines, high = narrower, middle
    return lines


def _break_lines(widths: Sequence[float], spaces: Sequence[float], width: float) -> list[list[int]]:
    """Word indices of each line. `spaces`: before each word, in a line."""
    lines: list[list[int]] = []
    remaining = 0.0
    for index, (word_width, space) in enumerate(zip(widths, spaces, strict=True)):
        remaining -= space + word_width
        if not lines or remaining < 0:
            lines.append([])
            remaining = width - word_width
        lines[-1].append(index)
    return lines
