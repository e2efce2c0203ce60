"""The words of attention pictures besides the caption, and why letters are boxes in them."""

from __future__ import annotations

from typing import Final, NamedTuple

from showtell.languages import language_info
from showtell.records import Caption
from showtell.view.typefaces import missing_letters

PROBLEMS: Final = {
    "font": "no font here has letters of {}: they are boxes; install one (Debian: fonts-noto-core, fonts-noto-cjk)",
    "layout": "Pillow finds no layout engine for {}: its letters are boxes; install one (Debian: libfribidi0)",
}


class Notes(NamedTuple):
    language: str
    """Which may be another than the caption's, with another direction."""
    legend: tuple[str, str, str]
    """`confidence`, `looked at less`, `more`."""
    footnote: str


def notes_in(language: str) -> Notes:
    """In the language; in English where the registry has none, or no font has their letters."""
    info, english = language_info(language), language_info("en")
    assert english.attention_legend is not None and english.attention_note is not None
    in_english = Notes("en", english.attention_legend, english.attention_note)
    if info.attention_legend is None or info.attention_note is None:
        return in_english
    notes = Notes(language, info.attention_legend, info.attention_note)
    return in_english if missing_letters([*notes.legend, *notes.footnote.split()], language) else notes


def drawing_problems(caption: Caption) -> list[str]:
    """Why pictures of the caption have boxes in place of letters, in a sentence each; none where all can be drawn."""
    problems: dict[str, list[str]] = {}
    for script, problem in missing_letters([word.text for word in caption.words], caption.language).items():
        problems.setdefault(problem, []).append(script)
    return [PROBLEMS[problem].format(", ".join(scripts)) for problem, scripts in problems.items()]
