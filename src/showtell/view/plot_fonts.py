"""Fonts of plots: matplotlib's own, and a font of the system for letters that it lacks, as in names of folders."""

from __future__ import annotations

from collections.abc import Iterable

from showtell.view import typefaces


def plot_fonts(texts: Iterable[str], family: str) -> list[str]:
    """Families for matplotlib, the first of which is `family`; the second has those letters of the texts that only a
    font of the system has. Where there is none, matplotlib draws boxes and warns."""
    from matplotlib import font_manager

    own = typefaces.FontFile(font_manager.findfont(font_manager.FontProperties(family=[family])))
    missing = {letter for text in texts for letter in text if letter.isprintable() and letter != " "}
    missing = {letter for letter in missing if not typefaces.has_glyph(own, letter)}
    found = typefaces.book().find(frozenset(missing), "") if missing else None
    if found is None:
        return [family]
    font_manager.fontManager.addfont(found.path)
    return [family, font_manager.FontProperties(fname=found.path).get_name()]
