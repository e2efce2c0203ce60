"""Lines in visual order. The other implementation of the bidirectional algorithm in python-bidi, a rewrite in
Python, is the reference; it knows nothing of pairs of brackets, whose cases are written out."""

import unicodedata

import bidi
import pytest
from bidi.algorithm import get_display
from hypothesis import given
from hypothesis import strategies as st

from showtell.view.shaping import VARIATION_SELECTORS, visual_line, visual_order, visual_text

KALB, SAGHIR = "\u0643\u0644\u0628", "\u0635\u063a\u064a\u0631"  # dog, small
DRAWN = {KALB: "\ufe90\ufee0\ufedb", SAGHIR: "\ufeae\ufef4\ufed0\ufebb"}  # last letter first, in forms that join


@pytest.mark.parametrize(
    ("words", "right_to_left", "expected"),
    [
        (["says", KALB, SAGHIR, "in", "red"], False, ["says", DRAWN[SAGHIR], DRAWN[KALB], "in", "red"]),
        (["says", KALB, "2", SAGHIR, "."], False, ["says", DRAWN[SAGHIR], "2", DRAWN[KALB], "."]),
        ([KALB, "red", "bmx", "."], True, [".", "red", "bmx", DRAWN[KALB]]),
        # The eye that comes from the right meets the bracket that opens first.
        ([KALB, "(", SAGHIR, ")", "."], True, [".", "(", DRAWN[SAGHIR], ")", DRAWN[KALB]]),
        ([KALB, "(bmx)"], True, ["(bmx)", DRAWN[KALB]]),
        ([KALB, "(", "bmx", "12", ")"], True, ["(", "bmx", "12", ")", DRAWN[KALB]]),
        (["a", "(", KALB, ")", "dog"], False, ["a", "(", DRAWN[KALB], ")", "dog"]),
        (["a", KALB, "(", SAGHIR, ")", "dog"], False, ["a", "(", DRAWN[SAGHIR], ")", DRAWN[KALB], "dog"]),
        ([f"\u00ab{KALB}\u00bb"], True, [f"\u00ab{DRAWN[KALB]}\u00bb"]),
        ([KALB, "0.50", "1,000", "12:30"], True, ["12:30", "1,000", "0.50", DRAWN[KALB]]),
        ([KALB, "\u0661\u066b\u0662"], True, ["\u0661\u066b\u0662", DRAWN[KALB]]),
        (["<", ">"], False, ["<", ">"]),
        (["<", ">"], True, ["<", ">"]),
        ([], True, []),
    ],
)
def test_lines_with_words_of_the_other_direction(words: list[str], right_to_left: bool, expected: list[str]) -> None:
    assert [word.text for word in visual_line(words, right_to_left)] == expected


def test_brackets_open_and_close_in_a_terminal_that_orders_nothing() -> None:
    assert visual_text(f"{KALB} ({SAGHIR}).") == f".({DRAWN[SAGHIR]}) {DRAWN[KALB]}"


@given(st.lists(st.sampled_from("\u0628\u062f\u0648\u05d0ab78\u0663\u0664.!"), max_size=9), st.booleans())
def test_words_are_ordered_as_the_other_implementation_orders_them(letters: list[str], right_to_left: bool) -> None:
    expected = get_display(" ".join(letters), base_dir="R" if right_to_left else "L").split()
    result = visual_line(letters, right_to_left)
    assert [letters[word.position] for word in result] == expected
    if right_to_left:
        assert visual_order(letters) == [word.position for word in result]


@given(st.text("\u0628\u0648\u05d0ab12\u0663\u0664.,:/+-%$()!* "))
def test_letters_are_ordered_as_without_the_marks_that_follow_them(text: str) -> None:
    """But for brackets, which bidi's function, called as it is, does not mirror."""
    bars = str.maketrans("()", "||")
    result = unicodedata.normalize("NFKC", visual_text(text))  # out of the forms that join
    assert result.translate(bars) == bidi.get_display(text, base_dir="R").translate(bars)


@given(st.lists(st.text(), max_size=6), st.booleans())
def test_every_word_is_there_whatever_it_is(words: list[str], right_to_left: bool) -> None:
    result = visual_line(words, right_to_left)
    assert sorted(word.position for word in result) == list(range(len(words)))
    for word in result:
        plain = all(unicodedata.bidirectional(c) in ("L", "EN") for c in words[word.position])
        assert not plain or word.text == unicodedata.normalize("NFC", words[word.position]).translate(
            dict.fromkeys(map(ord, VARIATION_SELECTORS))
        )


def test_a_long_line() -> None:
    """Longer than there are marks to number the words with."""
    assert visual_order([KALB] * 700) == list(range(700))[::-1]
    assert visual_order([KALB, *["bmx"] * 700]) == [*range(1, 701), 0]
