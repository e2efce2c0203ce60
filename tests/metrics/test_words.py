from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from showtell.errors import BadConfig
from showtell.metrics import words as words_module
from showtell.metrics.words import arabic_words, ptb_words, split_words

# Captions and their words: made by pycocoevalcap 1.2's PTBTokenizer (Stanford CoreNLP 3.4.1, Java 17), which
# `test_java_still_says_so` runs again wherever it can.
GOLDEN: list[list[str]] = json.loads(Path(__file__).with_name("ptb_golden.json").read_text(encoding="utf-8"))

# Text that is dense in what the rules are about.
PIECES = (
    "dog Dogs a U.S. Mr. The I n't 's can not cannot gonna & &amp; ( ) < > @ # 2 ½ é ’ ' `` - -- . ... , / : \u00ad 😀"
)
dense = st.lists(st.sampled_from([*PIECES.split(" "), " "]), max_size=12).map("".join)


@pytest.mark.parametrize(("text", "expected"), GOLDEN, ids=[repr(text)[:40] for text, _ in GOLDEN])
def test_the_golden_captions(text: str, expected: str) -> None:
    assert " ".join(ptb_words(text)) == expected


def test_java_still_says_so(java_words: Callable[[list[str]], list[str]]) -> None:
    assert java_words([text for text, _ in GOLDEN]) == [expected for _, expected in GOLDEN]


def test_every_caption_of_flickr8k_as_java_has_it(
    java_words: Callable[[list[str]], list[str]], flickr8k: dict[str, dict[str, list[str]]]
) -> None:
    captions = [caption for captions in flickr8k["en"].values() for caption in captions]
    expected = java_words(captions)
    different = [
        (caption, found, java)
        for caption, java in zip(captions, expected, strict=True)
        if (found := " ".join(ptb_words(caption))) != java
    ]
    assert len(captions) > 30_000
    assert different == []


def test_a_fraction_stays_one_word() -> None:
    assert ptb_words("2 1/2 feet") == ["2\u00a01/2", "feet"]


def test_a_caption_over_two_lines_is_one_caption() -> None:
    assert ptb_words("A dog\nruns 2\n1/2 miles\r\nfast .\n") == ["a", "dog", "runs", "2\u00a01/2", "miles", "fast"]


@given(dense | st.text())
@example("")
@example("\ud800")
def test_words_are_small_and_without_spaces_or_punctuation(text: str) -> None:
    for word in ptb_words(text):
        assert word
        assert word == word.lower()
        assert not set(word) & set(" \n")
        assert word not in {".", ",", "?", "!", ":", ";", "-", "--", "...", "'", "''", "`", "``"}


@given(dense | st.text())
def test_the_shortcut_for_plain_words_changes_nothing(text: str) -> None:
    expected = ptb_words(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words_module, "_PLAIN", re.compile("(?!)()"))
        assert ptb_words(text) == expected


@given(st.lists(dense, min_size=2, max_size=2))
def test_a_line_is_cut_by_itself(texts: list[str]) -> None:
    """But for what spans spaces: numbers in two parts, tags, and initials before a sentence."""
    first, second = (re.sub("[0-9½<.]|The|I", "", text) for text in texts)
    assert ptb_words(f"{first} , {second}") == ptb_words(first) + ptb_words(second)


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
    assert arabic_words(text) == expected
    assert split_words(text, "ar") == expected


def test_english_words_by_language() -> None:
    assert split_words("A dog's ball.", "en") == ["a", "dog", "'s", "ball"]


def test_another_language_is_refused() -> None:
    with pytest.raises(BadConfig, match="found language 'fr'; expected en or ar"):
        split_words("un chien", "fr")
