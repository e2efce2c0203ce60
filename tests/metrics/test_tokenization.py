from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from showtell.errors import BadConfig
from showtell.metrics import tokenization
from showtell.metrics.tokenization import arabic_tokenize, ptb_tokenize, ptb_tokenize_uncached, tokenize

# Captions and their words, by make_ptb_golden.py; `test_java_still_says_so` asks Java again wherever it can.
GOLDEN: list[list[str]] = json.loads(Path(__file__).with_name("ptb_golden.json").read_text(encoding="utf-8"))

# Text that is dense in what the rules are about.
PIECES = (
    "dog Dogs a U.S. Mr. The I n't 's can not cannot gonna & &amp; ( ) < > @ # 2 ½ é ’ ' `` - -- . ... , / : \u00ad 😀"
)
# Characters and words of lines that are split at spaces and cached.
independent = st.lists(
    st.sampled_from([*"abIS' ,;:!?\"-", " ", "can", "not", "gonna", "n't", "'s", "The", "Mr", "D", "p"]), max_size=12
).flatmap(lambda parts: st.sampled_from(["".join(parts), "".join(parts) + ".", "".join(parts) + " . "]))
dense = st.lists(st.sampled_from([*PIECES.split(" "), " "]), max_size=12).map("".join)


# The Java program looks for `The` and the like after `I.`, and finds it in the next line, which is another caption.
KNOWN = {"#dog a\u180edog I."}


def different(tokenizer: Callable[[str], list[str]]) -> list[tuple[str, str, str]]:
    """Golden lines that are cut otherwise: line, ours, Java's."""
    own = [(text, " ".join(tokenizer(text)), expected) for text, expected in GOLDEN]
    return [(text, result, expected) for text, result, expected in own if result != expected]


@pytest.mark.parametrize("tokenizer", [ptb_tokenize, ptb_tokenize_uncached])
def test_hard_lines_are_cut_as_java_cuts_them(tokenizer: Callable[[str], list[str]]) -> None:
    assert len(GOLDEN) >= 2500
    assert [row for row in different(tokenizer) if row[0] not in KNOWN] == []
    assert len(different(tokenizer)) <= len(GOLDEN) / 1000


def test_java_still_says_so(java_tokenize: Callable[[list[str]], list[str]]) -> None:
    assert java_tokenize([text for text, _ in GOLDEN]) == [expected for _, expected in GOLDEN]


def test_every_caption_of_flickr8k_as_java_has_it(
    java_tokenize: Callable[[list[str]], list[str]], flickr8k: dict[str, dict[str, list[str]]]
) -> None:
    captions = [caption for captions in flickr8k["en"].values() for caption in captions]
    expected = java_tokenize(captions)
    different = [
        (caption, result, java)
        for caption, java in zip(captions, expected, strict=True)
        if (result := " ".join(ptb_tokenize(caption))) != java
    ]
    assert len(captions) > 30_000
    assert different == []


def test_a_fraction_stays_one_word() -> None:
    assert ptb_tokenize("2 1/2 feet") == ["2\u00a01/2", "feet"]


def test_a_caption_over_two_lines_is_one_caption() -> None:
    assert ptb_tokenize("A dog\nruns 2\n1/2 miles\r\nfast .\n") == ["a", "dog", "runs", "2\u00a01/2", "miles", "fast"]


@given(dense | st.text())
@example("")
@example("\ud800")
def test_words_are_small_and_without_spaces_or_punctuation(text: str) -> None:
    for word in ptb_tokenize(text):
        assert word
        assert word == word.lower()
        assert not set(word) & set(" \n")
        assert word not in {".", ",", "?", "!", ":", ";", "-", "--", "...", "'", "''", "`", "``"}


@given(dense | independent | st.text())
def test_the_cache_and_the_shortcut_change_nothing(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenization, "_PLAIN_WORD", re.compile("(?!)()"))
        expected = ptb_tokenize_uncached(text)  # by the rules alone
    assert ptb_tokenize(text) == expected
    assert ptb_tokenize_uncached(text) == expected


def test_the_cache_is_bounded() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenization, "_CACHE_SIZE", 10)
        tokenization._token_cache.clear()
        for number in range(50):
            assert ptb_tokenize(f"dog's {'x' * number}") == ["dog", "'s", *(["x" * number] if number else [])]
            assert len(tokenization._token_cache) <= 10


@given(st.lists(dense, min_size=2, max_size=2))
def test_a_line_is_cut_by_itself(texts: list[str]) -> None:
    """But for what spans spaces: numbers in two parts, tags, and initials before a sentence."""
    first, second = (re.sub("[0-9½<.]|The|I", "", text) for text in texts)
    assert ptb_tokenize(f"{first} , {second}") == ptb_tokenize(first) + ptb_tokenize(second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("طفلة ترتدي ثوبًا ورديًا .", ["طفلة", "ترتدي", "ثوبا", "ورديا"]),  # signs of the short vowels go
        ("كَلْبٌ، وَ3 قِطَط!", ["كلب", "و3", "قطط"]),
        ("ﻻ ﷲ", ["لا", "الله"]),  # presentation forms become letters
        ("", []),
    ],
)
def test_arabic_words(text: str, expected: list[str]) -> None:
    assert arabic_tokenize(text) == expected
    assert tokenize(text, "ar") == expected


def test_english_words_by_language() -> None:
    assert tokenize("A dog's ball.", "en") == ["a", "dog", "'s", "ball"]


def test_another_language_is_refused() -> None:
    with pytest.raises(BadConfig, match="found language 'fr'; expected en or ar"):
        tokenize("un chien", "fr")
