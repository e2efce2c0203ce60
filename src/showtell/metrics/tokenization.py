r"""Tokenization of captions for the metrics.

English: the tokens of pycocoevalcap's `PTBTokenizer`, which runs the Stanford PTB tokenizer 3.4.1 in Java and then
drops punctuation; here without Java. Other languages have no such standard: words as in `languages.words`, runs of
letters and digits in lower case, and single characters in scripts without spaces.
"""

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final

from showtell.errors import BadConfig
from showtell.languages import canonical_tag
from showtell.languages.words import split_words
from showtell.metrics.ptb_rules import RULES

_PUNCTUATION: Final = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""pycocoevalcap's list without -LRB- and the like: tokens are lower-cased first, so it never drops a -lrb-."""

_PLAIN_WORD: Final = re.compile(r" *(?!(?i:cannot|gimme|gonna|gotta|lemme|wanna)(?: |$))([A-Za-z]+)(?= |$)")
"""Letters between spaces, which the rules leave whole. Most words are such and need not try seventy rules."""

_SPLITS_AT_SPACES: Final = re.compile(r"""[A-Za-z ,;:!?"'-]*\.? *""")
"""Lines whose parts between spaces are tokenized independently: no rule looks across a space in them, and a full stop
is at the end only."""

_CACHE_SIZE: Final = 100_000
"""Bounds memory. Captions have few distinct words."""


def ptb_tokenize(text: str) -> list[str]:
    """Lower-cased PTB tokens of an English caption; `" ".join` of them is what `PTBTokenizer` gives for its line.

    As there, a fraction or a telephone number can have a no-break space inside: `2 1/2` is one token.
    """
    if _SPLITS_AT_SPACES.fullmatch(text):
        return [token for part in text.split() for token in _token_cache[part]]
    return ptb_tokenize_uncached(text)


def ptb_tokenize_uncached(text: str) -> list[str]:
    """`ptb_tokenize` by the rules alone."""
    line = " ".join(_tokens(text)).rstrip()
    return [token for token in line.split(" ") if token and token not in _PUNCTUATION]


class _TokenCache(dict[str, list[str]]):
    """Tokens by the text between two spaces."""

    def __missing__(self, part: str) -> list[str]:
        if len(self) >= _CACHE_SIZE:
            self.clear()
        self[part] = tokens = [part.lower()] if _PLAIN_WORD.fullmatch(part) else ptb_tokenize_uncached(part)
        return tokens


_token_cache: Final = _TokenCache()


def tokenize(text: str, language: str) -> list[str]:
    """The words of a caption in a language, given by its tag. Raises BadConfig for what is no language tag."""
    if language == "en" or language.startswith("en-"):
        return ptb_tokenize(text)
    return split_words(text, _canonical(language))


@cache
def _canonical(language: str) -> str:
    try:
        return canonical_tag(language)
    except ValueError as error:
        raise BadConfig(str(error)) from error


def split_at_spaces(tokens: Sequence[str]) -> list[str]:
    """Tokens as pycocoevalcap's BLEU and CIDEr see them: its ROUGE splits a line at spaces only, these also at the
    no-break space inside `2 1/2`."""
    return " ".join(tokens).split()


def _tokens(text: str) -> Iterator[str]:
    """Lower-cased words and punctuation."""
    # The Java program reads a file of lines, so every caption is followed by the end of its line.
    text = _to_utf16_units(text.replace("\n", " ")) + "\n"
    position = 0
    while position < len(text):
        if plain := _PLAIN_WORD.match(text, position):
            yield plain[1].lower()
            position = plain.end()
            continue
        match, normalize = _longest_match(text, position)
        if token := normalize(match[1]):
            yield _from_utf16_units(token).lower()
        position = match.end(1)


@cache
def _compiled_rules() -> list[tuple[re.Pattern[str], Callable[[str], str]]]:
    """Group 1 is the token; the whole match, including the lookahead text, is what competes for length."""
    return [(re.compile(f"({rule.pattern}){rule.lookahead}", re.DOTALL), rule.normalize) for rule in RULES]


def _longest_match(text: str, position: int) -> tuple[re.Match[str], Callable[[str], str]]:
    matches = (
        (match, normalize) for pattern, normalize in _compiled_rules() if (match := pattern.match(text, position))
    )
    return max(matches, key=lambda pair: pair[0].end())  # of equally long ones, the first


def _to_utf16_units(text: str) -> str:
    """As Java strings: a character above U+FFFF becomes its two surrogates."""
    if text.isascii():
        return text
    _byte_order, *units = array("H", text.encode("utf-16", "surrogatepass"))
    return "".join(map(chr, units))


def _from_utf16_units(text: str) -> str:
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
