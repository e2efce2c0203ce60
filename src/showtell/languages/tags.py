"""Language tags of BCP 47 (RFC 5646): their form, their canonical spelling, and the more general tags of each.

A tag is checked by its form, not against the registry of 8,000 languages: a language that is too rare for a list can
still be trained. Names such as `german` have a form that the standard reserves and no language uses; they are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_FORM: Final = re.compile(
    r"""
    (?P<language>[a-z]{2,3})(?P<extended>(?:-[a-z]{3}){0,3})
    (?:-(?P<script>[a-z]{4}))?
    (?:-(?P<region>[a-z]{2}|[0-9]{3}))?
    (?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)
    (?P<extensions>(?:-[0-9a-wyz](?:-[a-z0-9]{2,8})+)*)
    (?P<private>-x(?:-[a-z0-9]{1,8})+)?
    | (?P<only_private>x(?:-[a-z0-9]{1,8})+)
    """,
    re.VERBOSE,
)

ALIASES: Final = {
    # Withdrawn codes, and codes of three letters where BCP 47 has two.
    **{"iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro", "tl": "fil"},
    **{"amh": "am", "ara": "ar", "ben": "bn", "deu": "de", "ger": "de", "ell": "el", "gre": "el", "eng": "en"},
    **{"spa": "es", "fas": "fa", "per": "fa", "fra": "fr", "fre": "fr", "heb": "he", "hin": "hi", "ita": "it"},
    **{"jpn": "ja", "khm": "km", "kor": "ko", "lao": "lo", "nld": "nl", "dut": "nl", "pol": "pl", "por": "pt"},
    **{"rus": "ru", "swa": "sw", "tam": "ta", "tha": "th", "tur": "tr", "ukr": "uk", "urd": "ur", "vie": "vi"},
    **{"zho": "zh", "chi": "zh", "cmn": "zh"},
}
"""Language subtags that stand for others, by IANA's registry and ISO 639."""


def canonical_tag(tag: str) -> str:
    """The tag as BCP 47 spells it: `pt_br` is `pt-BR`, `zh_hans` is `zh-Hans`, `eng` is `en`.

    Raises ValueError, saying what is wrong, for anything that has not the form of a tag.
    """
    match = _FORM.fullmatch(tag.replace("_", "-").lower())
    if match is None:
        raise ValueError(f"found {tag!r}, {_what_is_wrong(tag)}; expected a BCP 47 language tag, such as en or pt-BR")
    if match["only_private"]:
        return match["only_private"]
    # An extended subtag is a language of its own: zh-yue is yue.
    language = match["extended"].split("-")[1] if match["extended"].count("-") == 1 else match["language"]
    parts = [
        ALIASES.get(language, language) + (match["extended"] if match["extended"].count("-") > 1 else ""),
        (match["script"] or "").title(),
        (match["region"] or "").upper(),
        match["variants"].removeprefix("-"),
        (match["extensions"] + (match["private"] or "")).removeprefix("-"),
    ]
    return "-".join(part for part in parts if part)


def lenient_tag(tag: str) -> str:
    """The canonical tag, or the text itself where it is none: in data sets a column can hold anything."""
    try:
        return canonical_tag(tag)
    except ValueError:
        return tag


def script_subtag(tag: str) -> str | None:
    """`Hans` of `zh-Hans-SG`."""
    return next((part.title() for part in _subtags(tag)[1:] if len(part) == 4 and part.isalpha()), None)


def region_subtag(tag: str) -> str | None:
    """`SG` of `zh-Hans-SG`."""
    return next((part.upper() for part in _subtags(tag)[1:] if re.fullmatch("[a-z]{2}|[0-9]{3}", part)), None)


def language_subtag(tag: str) -> str:
    """`zh` of `zh-Hans-SG`."""
    return _subtags(tag)[0]


def fallbacks(tag: str) -> Iterator[str]:
    """The tag, and ever more general ones: `zh-Hans-SG`, `zh-Hans`, `zh` (the lookup of RFC 4647)."""
    parts = tag.split("-")
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])


def _subtags(tag: str) -> list[str]:
    """Up to the first extension or private part, in lower case."""
    parts = tag.replace("_", "-").lower().split("-")
    end = next((i for i, part in enumerate(parts) if i and len(part) == 1), len(parts))
    return parts[:end]


def _what_is_wrong(tag: str) -> str:
    if not tag.strip():
        return "an empty tag"
    parts = tag.replace("_", "-").lower().split("-")
    if any(not part for part in parts):
        return "with an empty part"
    if bad := [part for part in parts if not (part.isascii() and part.isalnum())]:
        return f"where {bad[0]!r} is more than letters and digits"
    if len(parts[0]) > 3:
        return f"where {parts[0]!r} is a name and no code of two or three letters"
    if not 2 <= len(parts[0]) <= 3 or not parts[0].isalpha():
        return f"where {parts[0]!r} is no code of two or three letters"
    if long := [part for part in parts if len(part) > 8]:
        return f"where {long[0]!r} has more than 8 characters"
    return f"where {'-'.join(parts[1:])!r} is not script, region and variants in this order"
