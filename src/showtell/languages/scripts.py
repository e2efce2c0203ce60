"""The script of a character, and what scripts do with spaces and marks.

Python's `unicodedata` has no script property, but the name of a letter begins with its script. Rejected: a table of
Unicode's ranges, which would be one more thing to keep up to date, and the package `regex`, one more to install.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

COMMON: Final = "Zyyy"
"""ISO 15924's code for characters of all scripts: digits, punctuation, marks, modifier letters."""

_BY_NAME: Final = {
    **{"LATIN": "Latn", "GREEK": "Grek", "CYRILLIC": "Cyrl", "ARMENIAN": "Armn", "GEORGIAN": "Geor", "HEBREW": "Hebr"},
    **{"ARABIC": "Arab", "SYRIAC": "Syrc", "THAANA": "Thaa", "NKO": "Nkoo", "ADLAM": "Adlm", "ETHIOPIC": "Ethi"},
    **{"HANIFI": "Rohg", "DEVANAGARI": "Deva", "BENGALI": "Beng", "GURMUKHI": "Guru", "GUJARATI": "Gujr"},
    **{"ORIYA": "Orya", "TAMIL": "Taml", "TELUGU": "Telu", "KANNADA": "Knda", "MALAYALAM": "Mlym", "SINHALA": "Sinh"},
    **{"THAI": "Thai", "LAO": "Laoo", "KHMER": "Khmr", "MYANMAR": "Mymr", "TIBETAN": "Tibt", "MONGOLIAN": "Mong"},
    **{"JAVANESE": "Java", "BALINESE": "Bali", "CJK": "Hani", "IDEOGRAPHIC": "Hani", "KANGXI": "Hani"},
    **{"HIRAGANA": "Hira", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana", "BOPOMOFO": "Bopo", "HANGUL": "Hang"},
    **{"CHEROKEE": "Cher", "CANADIAN": "Cans", "TIFINAGH": "Tfng", "YI": "Yiii", "OL": "Olck", "COPTIC": "Copt"},
}
"""ISO 15924's code by the first word of a letter's Unicode name."""
_WIDTHS: Final = ("HALFWIDTH", "FULLWIDTH")

NAMES: Final = {
    **{"Latn": "Latin", "Grek": "Greek", "Cyrl": "Cyrillic", "Armn": "Armenian", "Geor": "Georgian", "Hebr": "Hebrew"},
    **{"Arab": "Arabic", "Syrc": "Syriac", "Thaa": "Thaana", "Ethi": "Ethiopic", "Deva": "Devanagari"},
    **{"Beng": "Bengali", "Guru": "Gurmukhi", "Gujr": "Gujarati", "Orya": "Odia", "Taml": "Tamil", "Telu": "Telugu"},
    **{"Knda": "Kannada", "Mlym": "Malayalam", "Sinh": "Sinhala", "Thai": "Thai", "Laoo": "Lao", "Khmr": "Khmer"},
    **{"Mymr": "Burmese", "Tibt": "Tibetan", "Hani": "Chinese", "Hira": "Hiragana", "Kana": "Katakana"},
    **{"Bopo": "Bopomofo", "Hang": "Korean"},
}
"""English names for messages."""

UNSPACED: Final = frozenset({"Hani", "Hira", "Kana", "Bopo", "Yiii", "Thai", "Laoo", "Khmr", "Mymr", "Tibt", "Java"})
"""Scripts without spaces between words. Their text is split into characters and joined without spaces."""
UNSPACED_BESIDE_ALL: Final = frozenset({"Hani", "Hira", "Kana", "Bopo", "Yiii"})
"""Those which also have no space before a word or number of another script: `T恤`, `3只狗`; Thai has: `แมว 3 ตัว`."""
RIGHT_TO_LEFT: Final = frozenset({"Adlm", "Arab", "Hebr", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa"})


@lru_cache(maxsize=65536)
def script_of(character: str) -> str:
    """ISO 15924's code of a letter's script; `Zyyy` for what belongs to none or many. A script without a code here is
    the first word of its letters' names."""
    if unicodedata.category(character)[0] != "L":
        return "Hani" if character == "〇" else COMMON
    words = unicodedata.name(character, "").split()
    if words and words[0] in _WIDTHS:
        words = words[1:]
    if not words or words[0] == "MODIFIER":
        return COMMON
    return _BY_NAME.get(words[0], words[0].title())


def scripts_of(text: Iterable[str]) -> set[str]:
    """Scripts of the letters, `Zyyy` left out."""
    return {script_of(character) for character in text} - {COMMON}


def script_name(code: str) -> str:
    return NAMES.get(code, code)
