"""Fonts for letters that the package's font lacks: which one is taken, how its letters stand, and what is said where
there is none. The fonts are made here, so that no test depends on those of the machine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, features
from tests import skips

pytest.importorskip("fontTools", reason=skips.PACKAGES)

from fontTools.ttLib import TTCollection, TTFont
from tests.view.made_fonts import make_font

from showtell.records import Caption, Word
from showtell.view import typefaces
from showtell.view.attention import sheet
from showtell.view.notes import PROBLEMS, drawing_problems, notes_in
from showtell.view.text_layout import word_text
from showtell.view.typefaces import NO_CHARACTER, OWN, FontBook, font_folders, missing_letters

needs_engine = pytest.mark.skipif(not features.check("raqm"), reason="Pillow has no layout engine here")

HAN = dict.fromkeys("狗在跑", (800, 900))
DEVANAGARI = {"क": (600, 900), "ि": (200, 300), "त": (600, 600)}
HEBREW = {"כ": (600, 300), "ל": (600, 600), "ב": (600, 900)}


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FontBook]:
    """Makes the fonts of the test those of the machine."""

    def use(has_layout: bool | None = None, **glyphs: dict[str, tuple[int, int]]) -> FontBook:
        for name, sizes in glyphs.items():
            make_font(tmp_path / f"{name}.ttf", sizes, name)
        book = FontBook([tmp_path, tmp_path / "none"], has_layout)
        monkeypatch.setattr(typefaces, "book", lambda: book)
        return book

    return use


def files(book: FontBook, word: str, language: str = "") -> list[str]:
    return [Path(piece.file.path).stem if not piece.problem else piece.problem for piece in book.pieces(word, language)]


def heights(word: str, language: str, size: int = 50) -> list[int]:
    """Of the rectangles, from left to right, in thousandths of the size."""
    image = Image.new("L", (1000, 100))
    word_text(word, size, language).draw(ImageDraw.Draw(image), 5, 90, "#ffffff")
    columns = (np.asarray(image) > 128).sum(axis=0)
    edges = np.flatnonzero(np.diff((columns > 0).astype(int)))
    return [round(1000 * int(columns[first + 1 : last].max()) / size, -2) for first, last in edges.reshape(-1, 2)]


# ---- which font ----


def test_the_package_draws_what_it_can_and_the_system_the_rest(fonts: Callable[..., FontBook]) -> None:
    book = fonts(Han=HAN, Latin={"d": (500, 500), "o": (500, 500), "g": (500, 500)})
    assert files(book, "dog") == files(book, "كلب") == [Path(OWN.path).stem]
    assert files(book, "狗") == ["Han"]
    assert files(book, "T狗3") == [Path(OWN.path).stem, "Han", Path(OWN.path).stem]
    assert files(book, "ლ") == ["font"]


def test_a_word_is_drawn_in_one_font_where_one_has_all_of_it(fonts: Callable[..., FontBook]) -> None:
    """Vietnamese: the package's font has most of its letters."""
    book = fonts(Some={"ỏ": (500, 500)})
    assert files(book, "đỏ") == [Path(OWN.path).stem, "Some"]
    book = fonts(All={"đ": (500, 500), "ỏ": (500, 500)})
    assert files(book, "đỏ") == ["All"]


def test_a_font_with_all_letters_of_a_word_is_taken(fonts: Callable[..., FontBook]) -> None:
    book = fonts(A={"狗": (800, 900)}, NotoSansMore={**HAN, "猫": (800, 900)})
    assert files(book, "狗") == files(book, "狗猫") == ["NotoSansMore"]
    book = fonts(B={"馬": (800, 900)})
    assert files(book, "狗馬") == ["font"], "half a word is not drawn"


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["Han-Bold", "Han-Regular"], "Han-Regular"),
        (["HanSerif-Regular", "HanSans-Regular"], "HanSans-Regular"),
        (["AHan-Regular", "NotoSansHan-Regular"], "NotoSansHan-Regular"),
        (["NotoSansHan-Bold", "NotoSansHan-Regular"], "NotoSansHan-Regular"),
        (["AdobeBlank", "LastResort", "Zhong"], "Zhong"),
    ],
)
def test_plain_fonts_are_taken_before_others(tmp_path: Path, names: list[str], first: str) -> None:
    for name in names:
        make_font(tmp_path / "some" / "folder" / f"{name}.ttf", HAN)
    found = FontBook([tmp_path]).find(frozenset("狗"), "zh")
    assert found is not None and Path(found.path).stem == first


def test_of_a_collection_the_face_of_the_language(tmp_path: Path) -> None:
    collection = TTCollection()
    for name in ("JP", "KR", "SC", "TC"):
        collection.fonts.append(TTFont(make_font(tmp_path / "parts" / f"{name}.otf.part", HAN, f"Made Sans {name}")))
    collection.save(tmp_path / "Made.ttc")
    book = FontBook([tmp_path])
    faces = {language: book.find(frozenset("狗"), language) for language in ("ja", "zh-Hans-CN", "zh-Hant", "ko", "vi")}
    assert {language: found and found.face for language, found in faces.items()} == {
        **{"ja": 0, "ko": 1, "zh-Hans-CN": 2, "zh-Hant": 3, "vi": 0}
    }


def test_files_that_are_no_fonts_are_passed_over(tmp_path: Path, fonts: Callable[..., FontBook]) -> None:
    (tmp_path / "Broken.ttf").write_bytes(b"no font")
    (tmp_path / "Empty.otf").write_bytes(b"")
    (tmp_path / "Broken.ttc").write_bytes(b"ttcf")
    (tmp_path / "Gone.ttf").symlink_to(tmp_path / "nowhere.ttf")
    assert files(fonts(Han=HAN), "狗") == ["Han"]


def test_where_systems_keep_fonts() -> None:
    linux = font_folders("linux", {"HOME": "/home/a", "XDG_DATA_DIRS": "/opt/share:/usr/share"})
    assert list(map(str, linux)) == [
        "/home/a/.local/share/fonts",
        "/home/a/.fonts",
        "/opt/share/fonts",
        "/usr/share/fonts",
    ]
    assert Path("/Users/a/Library/Fonts") in font_folders("darwin", {"HOME": "/Users/a"})
    assert any(str(folder).endswith("Fonts") for folder in font_folders("win32", {"WINDIR": "C:\\Windows"}))


# ---- how letters stand ----


@needs_engine
def test_a_vowel_that_is_spoken_after_its_consonant_stands_before_it(fonts: Callable[..., FontBook]) -> None:
    book = fonts(Deva=DEVANAGARI)
    assert [piece.direction for piece in book.pieces("कित", "hi")] == ["ltr"]
    assert heights("कित", "hi") == [300, 900, 600]


@needs_engine
def test_hebrew_with_points_runs_from_right_to_left(fonts: Callable[..., FontBook]) -> None:
    fonts(Hebr={**HEBREW, "\u05b6": (10, 10)})
    assert [height for height in heights("כ\u05b6לב", "he") if height > 100] == [900, 600, 300]


def test_hebrew_and_devanagari_without_marks_need_no_engine(fonts: Callable[..., FontBook]) -> None:
    fonts(has_layout=False, Hebr=HEBREW, Deva=DEVANAGARI)
    assert heights("כלב", "he") == [900, 600, 300]
    assert heights("कत", "hi") == [900, 600]


def test_without_an_engine_there_are_boxes_and_not_letters_in_the_wrong_place(fonts: Callable[..., FontBook]) -> None:
    book = fonts(has_layout=False, Deva=DEVANAGARI)
    (piece,) = book.pieces("कित", "hi")
    assert (piece.text, piece.file, piece.problem) == (NO_CHARACTER * 2, OWN, "layout")
    assert missing_letters(["कित", "कत"], "hi") == {"Devanagari": "layout"}


# ---- what is said ----


def caption(*words: str, language: str = "zh") -> Caption:
    spoken = tuple(Word(word, -0.1) for word in words)
    return Caption("".join(words), -0.1, 0.5, spoken, language, np.full((len(words), 7, 7), 1 / 49, np.float32))


def test_scripts_that_no_font_has_are_named_once(fonts: Callable[..., FontBook]) -> None:
    fonts(Han={"狗": (800, 900)})
    said = drawing_problems(caption("狗", "猫", "跑", "ქ", "dog", "☃"))
    assert said == [PROBLEMS["font"].format("Chinese, Georgian, U+2603")]
    assert drawing_problems(caption("狗", "dog")) == []


def test_a_picture_with_boxes_says_why(fonts: Callable[..., FontBook]) -> None:
    def drawn() -> Image.Image:
        return sheet(Image.new("RGB", (300, 200), "#808080"), caption("狗", "跑", language="sw"))

    fonts()
    without = drawn()
    fonts(Han=HAN)
    with_font = drawn()
    assert without.height > with_font.height, "a line more"
    added = np.asarray(without.convert("L"))[with_font.height - 56 :]
    assert (added < 200).any(), "with words in it"


def test_english_notes_of_a_sheet_from_right_to_left_are_english_sentences(fonts: Callable[..., FontBook]) -> None:
    """The registry has no notes in Hebrew; the full stop stays at the end, at the right."""
    fonts(Hebr=HEBREW)
    pictures = [
        sheet(Image.new("RGB", (300, 200), "#808080"), caption("כלב", language=language)) for language in ("he", "en")
    ]
    foot = [np.asarray(picture.convert("L"))[-85:] < 200 for picture in pictures]
    inked = [np.nonzero(lines.any(axis=0))[0] for lines in foot]
    right, left = (lines[:, columns.min() : columns.max() + 1] for lines, columns in zip(foot, inked, strict=True))
    assert inked[0].min() > inked[1].min() + 300, "each on its own side"
    assert right.shape == left.shape and (right == left).mean() > 0.99


def test_notes_are_in_the_captions_language_where_they_can_be_drawn(fonts: Callable[..., FontBook]) -> None:
    fonts()
    assert notes_in("de").legend[0] == "Konfidenz" and notes_in("ar").legend[0] == "الثقة"
    assert notes_in("zh") == notes_in("sw") == notes_in("en"), "no font here, and none in the registry"
    letters = {
        letter
        for text in ("置信度关注较少较多每张图各有自己的刻度。数字是在前面的词之后该词的概率。")
        for letter in text
    }
    fonts(Han=dict.fromkeys(sorted(letters), (800, 900)))
    assert notes_in("zh").legend[0] == "置信度"
