"""Fonts made for tests: every glyph is a rectangle of known size, so that a picture shows which glyph is where."""

from collections.abc import Mapping
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

UNITS = 1000
"""Of the size in which a font is drawn."""


def make_font(path: Path, glyphs: Mapping[str, tuple[int, int]], name: str = "Made") -> Path:
    """`glyphs`: width and height of each character's rectangle; its advance is 100 more than its width."""
    names = {character: f"u{ord(character):04X}" for character in glyphs}
    builder = FontBuilder(UNITS)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(character): glyph for character, glyph in names.items()})
    sizes = {".notdef": (700, 900), **{names[character]: size for character, size in glyphs.items()}}
    builder.setupGlyf({glyph: _rectangle(*size) for glyph, size in sizes.items()})
    builder.setupHorizontalMetrics({glyph: (width + 100, 50) for glyph, (width, _) in sizes.items()})
    builder.setupHorizontalHeader(ascent=900, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.save(path)
    return path


def _rectangle(width: int, height: int) -> object:
    pen = TTGlyphPen(None)
    pen.moveTo((50, 0))
    for point in ((50, height), (50 + width, height), (50 + width, 0)):
        pen.lineTo(point)
    pen.closePath()
    return pen.glyph()
