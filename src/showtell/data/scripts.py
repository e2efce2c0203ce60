"""Checks of the scripts of captions: letters of another script inside a word, captions in a script that is not the
language's.

A Cyrillic а among Latin letters looks right and makes another word: such a caption matches no other. It comes from
keyboards and optical character recognition. Words such as T恤 or 3д mix scripts as well; a script without spaces beside
another is therefore no problem, nor are digits, nor Han, Kana and Hangul together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from showtell.languages import language_info
from showtell.languages.scripts import COMMON, UNSPACED, script_name, script_of
from showtell.languages.words import split_words

LOOK_ALIKE: Final = frozenset({"Latn", "Cyrl", "Grek", "Armn", "Copt", "Cher"})
"""Scripts with letters that look like those of another of them. With a suffix, as in `CD-ова` or `iPhone'ом`, a word
has two parts; a script change inside a part is never meant."""


MIN_OWN_SHARE: Final = 0.25
"""Of the letters. A Japanese caption of ten characters may have six Latin letters, in one name."""


def script_counts(captions: Iterable[str]) -> Counter[str]:
    """The number of letters in each script, by ISO 15924's code."""
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(map(script_of, caption))
    del counts[COMMON]
    return counts


def script_problem(caption: str, language: str) -> str | None:
    """What is wrong with the scripts of a caption, as `data check` prints it; None when nothing is."""
    return _mixed_word(caption, language) or _wrong_script(caption, language)


def wrong_script(captions: Iterable[str], language: str) -> str | None:
    """The name of the script that most letters of the captions have, when few are of the language's."""
    expected = language_info(language).scripts
    counts = script_counts(captions)
    if not expected or not counts:
        return None
    own = sum(counts[script] for script in expected)
    return None if own >= MIN_OWN_SHARE * counts.total() else script_name(counts.most_common(1)[0][0])


def _mixed_word(caption: str, language: str) -> str | None:
    for word in split_words(caption, language):
        scripts = Counter(map(script_of, word.removeprefix("\u03bc")))  # µm
        del scripts[COMMON]
        alike = [script for script, _ in scripts.most_common() if script in LOOK_ALIKE]
        if len(alike) > 1 and not scripts.keys() & UNSPACED:
            rare = alike[-1]
            letters = "".join(dict.fromkeys(c for c in word if script_of(c) == rare))
            return f"{script_name(rare)} {letters!r} in the {script_name(alike[0])} word {word!r}"
    return None


def _wrong_script(caption: str, language: str) -> str | None:
    found = wrong_script([caption], language)
    if found is None:
        return None
    expected = " or ".join(map(script_name, language_info(language).scripts))
    return f"letters mostly {found}; expected {expected}, the script of {language}"
