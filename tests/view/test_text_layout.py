"""Letters in pictures: all are in the font, they join, and lines run their way."""

import itertools
import json

import numpy as np
import pytest
from arabic_reshaper.letters import LETTERS_ARABIC
from PIL import Image, ImageDraw

from showtell.core.bundle import builtin
from showtell.view import typefaces
from showtell.view.shaping import visual_text
from showtell.view.text_layout import (
    MIN_LABEL_SIZE,
    PlacedWord,
    draw_label,
    fit_font_size,
    font,
    joined_words,
    layout_words,
    word_text,
)
from showtell.view.typefaces import FONT, FontBook, visual_word

ARABIC = ["رجل", "على", "دراجة", "bmx", "12", "في", "سباق"]


@pytest.fixture(autouse=True)
def own_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fonts this machine has."""
    book = FontBook([])
    monkeypatch.setattr(typefaces, "book", lambda: book)


def drawn(word: PlacedWord) -> str:
    return "".join(piece.text for piece in word.text.pieces)


def width(word: str, size: int) -> float:
    return word_text(word, size, "").width


def missing(characters: set[str]) -> list[str]:
    """Those that the font draws as it draws a character that no font has."""
    letters = font(40)
    nothing = bytes(letters.getmask("\U000f0000"))
    return sorted(c for c in characters if c.strip() and bytes(letters.getmask(c)) == nothing)


def test_a_letter_that_the_font_lacks_is_a_box() -> None:
    image = Image.new("L", (80, 80))
    word_text("犬", 50, "zh").draw(ImageDraw.Draw(image), 10, 60, "#ffffff")
    left, top, right, bottom = image.getbbox() or (0, 0, 0, 0)
    inked = np.asarray(image)[top:bottom, left:right] > 128
    assert right - left > 15 and bottom - top > 25
    assert inked[1].all() and inked[-2].all() and inked[:, 1].all() and inked[:, -2].all()
    assert not inked[10:-10, 10:-10].any()


@pytest.mark.parametrize(("text", "expected"), [("❤️", "❤"), ("café", "café"), ("a​b", "ab")])
def test_what_has_no_shape_gets_no_box(text: str, expected: str) -> None:
    assert visual_word(text) == expected


def test_the_test_sees_a_missing_letter() -> None:
    assert missing({"犬", "a", "ش"}) == ["犬"]


def test_every_form_of_every_arabic_letter_is_in_the_font() -> None:
    forms = {form for letter in LETTERS_ARABIC.values() for form in letter if form}
    assert len(forms) > 100
    # Also what it makes of them: lam with alef, and letters as they are.
    joined = visual_text(" ".join("\u0628" + c + "\u0628" for c in LETTERS_ARABIC) + " لا لأ لإ لآ الله")
    assert missing(forms | set(joined) | set("0123456789٠١٢٣٤٥٦٧٨٩٪،؛؟«»().!…")) == []


def test_every_word_of_the_built_in_model_can_be_drawn() -> None:
    tokenizer = json.loads((builtin() / "tokenizer.json").read_text(encoding="utf-8"))
    words = tokenizer["model"]["vocab"]
    assert len(words) > 5000
    assert missing(set("".join(visual_word(word) for word in words))) == []


def test_european_languages_can_be_drawn() -> None:
    assert missing(set(map(chr, [*range(0x21, 0x7F), *range(0xA1, 0x180)])) - {"\xad"}) == []


def test_the_font_is_small_and_has_its_licence() -> None:
    assert FONT.stat().st_size < 250_000
    assert "SIL OPEN FONT LICENSE" in (FONT.parent / "OFL.txt").read_text(encoding="utf-8")


def test_arabic_letters_join() -> None:
    """Drawn, the letters of one word hang together: no column between the first and the last is empty."""
    image = Image.new("L", (300, 120))
    word_text("يجلس", 60, "ar").draw(ImageDraw.Draw(image), 10, 80, "#ffffff")
    inked = np.asarray(image)[40:].max(0) > 60
    first, last = np.nonzero(inked)[0][[0, -1]]
    assert last - first > 60 and inked[first : last + 1].all()


def test_a_line_from_left_to_right() -> None:
    result = layout_words(["a", "brown", "dog"], 30, 1000, right_to_left=False)
    assert [drawn(word) for word in result] == ["a", "brown", "dog"]
    gap = font(30).getlength(" ")
    assert result[0].left == 0 and result[1].left == result[0].width + gap
    assert result[2].left == result[1].left + result[1].width + gap


def test_a_line_from_right_to_left_keeps_latin_words_in_order() -> None:
    result = layout_words(ARABIC, 30, 1000, right_to_left=True)
    assert [word.position for word in result] == list(range(len(ARABIC)))
    assert result[0].left + result[0].width == pytest.approx(1000)
    assert [word.position for word in sorted(result, key=lambda word: word.left)] == [6, 5, 3, 4, 2, 1, 0]
    assert drawn(result[3]) == "bmx" and drawn(result[0]) == visual_text("رجل") != "رجل"


def test_arabic_words_in_an_english_line_run_their_way() -> None:
    result = layout_words(["says", "كلب", "صغير", "in", "red"], 30, 1000, right_to_left=False)
    assert [word.position for word in sorted(result, key=lambda word: word.left)] == [0, 2, 1, 3, 4]
    assert result[0].left == 0 and result[2].left + result[2].width + font(30).getlength(" ") == result[1].left


@pytest.mark.parametrize("align_right", [False, True])
def test_a_bracket_alone_opens_to_where_the_line_goes_on(align_right: bool) -> None:
    drawn = []
    for word in ("(", ")"):
        drawn.append(Image.new("L", (100, 60)))
        draw_label(ImageDraw.Draw(drawn[-1]), word, 0, 40, 100, 30, "#ffffff", align_right)
    one, other = (np.asarray(image.crop(image.getbbox())) for image in drawn)
    # What opens is round on the side from which the line comes: there the middle of its height has ink.
    for bracket, outside in ((one, -1 if align_right else 0), (other, 0 if align_right else -1)):
        middle = len(bracket) // 2
        assert bracket[middle, outside] > 100 and bracket[middle, -1 - outside] == 0


@pytest.mark.parametrize("right_to_left", [False, True])
@pytest.mark.parametrize("width", [150, 200, 333, 1000])
def test_lines_are_within_the_width_and_few_and_even(width: int, right_to_left: bool) -> None:
    words = (ARABIC if right_to_left else ["a", "man", "in", "a", "red", "coat"]) * 3
    result = layout_words(words, 30, width, right_to_left)
    lines = [[word for word in result if word.line == n] for n in range(result[-1].line + 1)]
    assert [word.position for line in lines for word in line] == list(range(len(words)))
    lengths = []
    for line in lines:
        line.sort(key=lambda word: word.left)
        assert line[0].left >= -0.01 and line[-1].left + line[-1].width <= width + 0.01
        assert all(a.left + a.width < b.left for a, b in itertools.pairwise(line))
        lengths.append(line[-1].left + line[-1].width - line[0].left)
    whole = sum(lengths) + font(30).getlength(" ") * (len(lines) - 1)
    assert len(lines) <= whole / width * 1.6 + 1
    assert min(lengths) > max(lengths) * 0.3, "no word stands alone below long lines"


def test_no_words_and_long_words() -> None:
    assert layout_words([], 30, 100, False) == []
    assert fit_font_size(["dog"], 30, 500) == 30
    smaller = fit_font_size(["dog", "x" * 60], 30, 500)
    assert smaller < 30 and width("x" * 60, smaller) <= 500


@pytest.mark.parametrize("word", ["dog", "extraordinarily", "w" * 90, "كلب", "ك" * 90])
@pytest.mark.parametrize("align_right", [False, True])
def test_a_label_stays_in_its_place(word: str, align_right: bool) -> None:
    image = Image.new("L", (400, 100))
    draw_label(ImageDraw.Draw(image), word, 100, 60, 150, 25, "#ffffff", align_right)
    left, _, right, _ = image.getbbox() or (0, 0, 0, 0)
    assert 98 <= left < right <= 252
    assert right >= 244 if align_right else left <= 106
    assert MIN_LABEL_SIZE < 25


# ---- words without spaces ----


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("a dog dog", ["a", "dog", "dog"], [False, False, False]),
        ("狗在跑", ["狗", "在", "跑"], [False, True, True]),
        ("3只狗 bmx", ["3", "只", "狗", "bmx"], [False, True, True, False]),
        ("another", ["dog", "runs"], [False, False]),
        ("aa", ["a", "a", "a"], [False, True, False]),
        ("", [], []),
    ],
)
def test_which_words_follow_without_a_space(text: str, words: list[str], expected: list[bool]) -> None:
    assert joined_words(text, words) == expected


def test_words_without_spaces_touch_and_break_into_lines_anywhere() -> None:
    words = list("abcdefghij")
    joined = joined_words("".join(words), words)
    result = layout_words(words, 30, 1000, False, "zh", joined)
    assert [word.left for word in result] == pytest.approx(np.cumsum([0, *(word.width for word in result[:-1])]))
    lines = layout_words(words, 30, sum(word.width for word in result) / 3 + 10, False, "zh", joined)
    assert [sum(word.line == n for word in lines) for n in range(lines[-1].line + 1)] == [3, 3, 4]
    assert all(word.left == 0 for word in lines if word.position in (0, 3, 6))
