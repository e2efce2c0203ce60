"""Facts about languages that several packages need. Languages are BCP 47 tags, such as `ar`, `fa_IR` or `az-Arab`."""

from __future__ import annotations

import unicodedata
from typing import Final

RIGHT_TO_LEFT_LANGUAGES: Final = frozenset(
    {"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "syr", "ug", "ur", "yi"}
)
RIGHT_TO_LEFT_SCRIPTS: Final = frozenset({"adlm", "arab", "hebr", "nkoo", "rohg", "syrc", "thaa"})
UNKNOWN_LANGUAGES: Final = frozenset({"", "und"})


def is_right_to_left(language: str, text: str = "") -> bool:
    """Whether sentences of the language run from right to left.

    A script subtag decides before the language. For an unknown language the first letter of `text` decides, as in
    HTML's `dir="auto"`.
    """
    if language in UNKNOWN_LANGUAGES:
        classes = map(unicodedata.bidirectional, text)
        return next((bidi_class != "L" for bidi_class in classes if bidi_class in ("L", "R", "AL")), False)
    primary, *subtags = language.replace("_", "-").lower().split("-")
    script = next((subtag for subtag in subtags if len(subtag) == 4 and subtag.isalpha()), None)
    return script in RIGHT_TO_LEFT_SCRIPTS if script else primary in RIGHT_TO_LEFT_LANGUAGES
