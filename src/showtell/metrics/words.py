r"""A caption as the words that the metrics compare.

English: the words of pycocoevalcap's `PTBTokenizer`, which runs the Stanford PTB tokenizer 3.4.1 in Java and then drops
punctuation; here without Java. Arabic has no such standard: runs of letters and digits, without vowel signs.
"""

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from showtell.errors import BadConfig
from showtell.metrics.ptb_rules import RULES

_PUNCTUATION: Final = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""pycocoevalcap's list without its -LRB- and the like: words come in small letters, so it never dropped a -lrb-."""

_PLAIN: Final = re.compile(r" *(?!(?i:cannot|gimme|gonna|gotta|lemme|wanna)(?: |$))([A-Za-z]+)(?= |$)")
"""Letters between spaces, of which the rules make nothing else. Most words are such, and need not try seventy rules."""

_INDEPENDENT: Final = re.compile(r"""[A-Za-z ,;:!?"'-]*\.? *""")
"""A line whose words say nothing of each other: no rule looks across a space here, and a full stop is at the end."""

_REMEMBERED: Final = 100_000
"""Words are few, and lines are many; but nobody's words may fill the memory."""


def ptb_words(text: str) -> list[str]:
    """The words of one English caption in small letters: `" ".join` of them is what `PTBTokenizer` gives for its line.

    A fraction or a telephone number can have a no-break space inside (`2 1/2` is one word), as it has there.
    """
    if _INDEPENDENT.fullmatch(text):
        return [word for part in text.split() for word in _remembered[part]]
    return line_words(text)


def line_words(text: str) -> list[str]:
    """The same by the rules alone: what `ptb_words` remembers, and does where there is nothing to remember."""
    line = " ".join(_tokens(text)).rstrip()
    return [word for word in line.split(" ") if word and word not in _PUNCTUATION]


class _Remembered(dict[str, list[str]]):
    """The words of what stood between spaces before."""

    def __missing__(self, part: str) -> list[str]:
        if len(self) >= _REMEMBERED:
            self.clear()
        self[part] = words = [part.lower()] if _PLAIN.fullmatch(part) else line_words(part)
        return words


_remembered: Final = _Remembered()


def arabic_words(text: str) -> list[str]:
    """Runs of letters and digits in compatibility form (NFKC), without marks such as vowel signs (category Mn)."""
    letters = (c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Mn")
    return re.findall(r"\w+", "".join(letters))


def split_words(text: str, language: str) -> list[str]:
    """Raises BadConfig for a language without rules."""
    if language == "en":
        return ptb_words(text)
    if language == "ar":
        return arabic_words(text)
    raise BadConfig(f"found language {language!r}; expected en or ar, whose words can be compared")


def _tokens(text: str) -> Iterator[str]:
    """Words and punctuation, in small letters."""
    # The Java program reads a file with a caption on each line, so that after every caption comes the end of its line.
    text = _in_code_units(text.replace("\n", " ")) + "\n"
    place = 0
    while place < len(text):
        if plain := _PLAIN.match(text, place):
            yield plain[1].lower()
            place = plain.end()
            continue
        match, write = _longest_match(text, place)
        if token := write(match[1]):
            yield _in_code_points(token).lower()
        place = match.end(1)


@cache
def _rules() -> list[tuple[re.Pattern[str], Callable[[str], str]]]:
    """Group 1 is the word; the whole match, the text looked ahead to included, is what competes."""
    return [(re.compile(f"({rule.word}){rule.before}", re.DOTALL), rule.write) for rule in RULES]


def _longest_match(text: str, place: int) -> tuple[re.Match[str], Callable[[str], str]]:
    matches = ((match, write) for pattern, write in _rules() if (match := pattern.match(text, place)))
    return max(matches, key=lambda found: found[0].end())  # of equally long ones, the first


def _in_code_units(text: str) -> str:
    """UTF-16, as Java has it: a character above U+FFFF becomes its two surrogates."""
    if text.isascii():
        return text
    _byte_order, *units = array("H", text.encode("utf-16", "surrogatepass"))
    return "".join(map(chr, units))


def _in_code_points(text: str) -> str:
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
