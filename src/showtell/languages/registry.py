"""What is known of a language, and the defaults for a language of which nothing is.

Facts are data: one file `data/TAG.yaml` per language, with the fields of `LanguageInfo`. A new language needs no file;
with one it gets the metrics of function words, mirrored photos and picture notes in its own words. The most specific
file holds for a tag: `pt-BR` is read from `pt.yaml` as long as there is no `pt-BR.yaml`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from showtell.languages.scripts import RIGHT_TO_LEFT, UNSPACED
from showtell.languages.tags import fallbacks, language_subtag, region_subtag, script_subtag

RIGHT_TO_LEFT_LANGUAGES: Final = frozenset(
    {
        *("aii", "ajp", "apc", "apd", "ar", "arc", "ars", "ary", "arz", "azb", "bal", "bgn", "ckb", "dv", "fa", "glk"),
        *("he", "ks", "lrc", "mzn", "nqo", "pnb", "prs", "ps", "rhg", "sam", "sd", "sdh", "skr", "syc", "syr", "ug"),
        *("ur", "yi"),
    }
)
"""Languages that usually have a right-to-left script, where no file says so."""
RIGHT_TO_LEFT_REGIONS: Final = frozenset({("az", "IR"), ("kk", "CN"), ("ky", "CN"), ("pa", "PK"), ("uz", "AF")})
"""Regions in which a language has the Arabic script (CLDR's likely subtags)."""
UNKNOWN_LANGUAGES: Final = frozenset({"", "und"})
_SEVERAL: Final = {
    **{"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani")},
    "Aran": ("Arab",),
}
"""Codes for a style or a mixture of scripts."""


@dataclass(frozen=True)
class LanguageInfo:
    """One language. Every field has a default, which holds for a language without a file."""

    tag: str
    name: str = ""
    """In the language itself; default: the tag."""
    english_name: str = ""
    """Default: the tag."""
    scripts: tuple[str, ...] = ()
    """ISO 15924's codes, the usual one first; the tag's script subtag overrides them. Default: unknown, nothing is
    checked, and each letter is treated as its own script wants it."""
    letters: Mapping[str, str] = field(default_factory=dict)
    """Letters that this language replaces before a text is lower-cased: Turkish I is the capital of ı, Persian ي is
    typed for ی. Default: none."""
    arabic_marks: bool = False
    """Whether the marks of the Arabic script are part of its spelling, as in Kashmiri. Default: they are optional vowel
    signs, and removed."""
    function_words: frozenset[str] = frozenset()
    """Articles, pronouns, prepositions, conjunctions, auxiliaries, in lower case; in the file one string, separated by
    spaces. Default: none, and no `content_recall`."""
    bad_endings: frozenset[str] = frozenset()
    """Words that cannot end a caption. Default: none, and no `bad_endings`."""
    mirrored_words: Mapping[str, str] = field(default_factory=dict)
    """Words for left, each with its word for right. Whole words; parts of words in a script without spaces. Default:
    none, and training mirrors no photo."""
    capitalizes_nouns: bool = False
    """Whether words other than names are written with a capital inside a sentence. Default: they are not."""
    attention_legend: tuple[str, str, str] | None = None
    """Of attention pictures: "confidence", "looked at less", "more". Default: English."""
    attention_note: str | None = None
    """Of attention pictures. Default: English."""

    @property
    def is_unspaced(self) -> bool:
        """Whether its words are written without spaces."""
        return bool(self.scripts) and self.scripts[0] in UNSPACED

    def replace_letters(self, text: str) -> str:
        """The text with the replacements of `letters`, in the composed form NFC where there are any."""
        if not self.letters:
            return text
        return unicodedata.normalize("NFC", text).translate({ord(a): b for a, b in self.letters.items()})


def known_languages() -> list[str]:
    """Tags of the languages with a file, in alphabetical order."""
    names = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


@cache
def language_info(tag: str) -> LanguageInfo:
    """The facts about a language, given by its canonical tag; defaults where nothing is known."""
    general = next((general for general in fallbacks(tag) if (_folder() / f"{general}.yaml").is_file()), None)
    facts = {"name": tag, "english_name": tag, **(_read(general) if general is not None else {}), "tag": tag}
    if general not in (None, tag):
        rest = tag.removeprefix(f"{general}-")
        facts |= {"name": f"{facts['name']} ({rest})", "english_name": f"{facts['english_name']} ({rest})"}
    if script := script_subtag(tag):
        facts["scripts"] = _SEVERAL.get(script, (script,))
    return LanguageInfo(**facts)


def _read(tag: str) -> dict[str, Any]:
    """The fields of a file."""
    import yaml  # captioning with the built-in model reads no such file, and need not wait for this

    raw = yaml.safe_load((_folder() / f"{tag}.yaml").read_text(encoding="utf-8"))
    words = {key: frozenset(raw[key].split()) for key in ("function_words", "bad_endings") if key in raw}
    lists = {key: tuple(raw[key]) for key in ("scripts", "attention_legend") if key in raw}
    return {**raw, **words, **lists}


def is_right_to_left(language: str, text: str = "") -> bool:
    """Whether sentences of the language run from right to left.

    A script subtag decides before the region, and the region before the language. For an unknown language the first
    letter of `text` decides, as in HTML's `dir="auto"`.
    """
    if language in UNKNOWN_LANGUAGES:
        classes = map(unicodedata.bidirectional, text)
        return next((bidi_class != "L" for bidi_class in classes if bidi_class in ("L", "R", "AL")), False)
    if script := script_subtag(language):
        return script in RIGHT_TO_LEFT
    primary = language_subtag(language)
    return primary in RIGHT_TO_LEFT_LANGUAGES or (primary, region_subtag(language)) in RIGHT_TO_LEFT_REGIONS


def _folder() -> Any:
    return files("showtell.languages") / "data"
