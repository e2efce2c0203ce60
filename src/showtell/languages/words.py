"""Words of a text in any language, for metrics and statistics: what `core.text_rules` does, without its package.

A word is a run of letters, digits, marks and `_` in compatibility form (NFKC) and lower case; in a script without
spaces, one character with its marks. Hyphens and apostrophes separate words, as they do in the regular expression
`\\w+` that other programs use; with `\\w+` alone the vowel signs of Hindi or Thai would, too.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, Literal

from showtell.languages.registry import language_info
from showtell.languages.scripts import UNSPACED, script_of

_ARABIC_MARKS: Final = re.compile(
    "[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0898-\u089f\u08ca-\u08e1"
    "\u08e3-\u08ff]"
)
_TAKEN_APART: Final = (
    (re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32"), "\\1\u0e33"),
    (re.compile("\u0ecd([\u0ec8-\u0ecb]?)\u0eb2"), "\\1\u0eb3"),
)
"""Thai and Lao am, which NFKC takes apart."""
_AM: Final = "\u0e33\u0eb3"

_Kind = Literal["letter", "character", "mark", "joiner", "ignored", "other"]


def split_words(text: str, language: str) -> list[str]:
    """The words, normalised. The language decides on letters that it replaces, and on the marks of Arabic."""
    info = language_info(language)
    text = unicodedata.normalize("NFKC", info.replace_letters(text)).lower().replace("i\u0307", "i")
    if not info.arabic_marks:
        text = _ARABIC_MARKS.sub("", text)
    for apart, together in _TAKEN_APART:
        text = apart.sub(together, text)
    words: list[str] = []
    pending, is_open, is_run = "", False, False
    for character in text:
        kind = _kind(character)
        if kind == "letter":
            if is_open and is_run:
                words[-1] += pending + character
            else:
                words.append(character)
            is_open = is_run = True
            pending = ""
        elif kind == "character":
            words.append(character)
            is_open, is_run, pending = True, False, ""
        elif kind == "mark" and is_open:
            words[-1] += pending + character
            pending = ""
        elif kind == "joiner":
            pending = character
        elif kind == "other":
            is_open, pending = False, ""
    return words


@lru_cache(maxsize=65536)
def _kind(character: str) -> _Kind:
    if character in _AM:
        return "mark"
    if character in "\u200c\u200d":
        return "joiner"
    if "\ufe00" <= character <= "\ufe0f":
        return "ignored"
    category = unicodedata.category(character)
    if category in ("Mn", "Mc"):
        return "mark"
    if category[0] in "LN" or character == "_":
        return "character" if script_of(character) in UNSPACED else "letter"
    return "other"
