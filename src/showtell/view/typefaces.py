"""Which font draws which letters of a picture: the package's own, and for what it lacks, one of the system's.

The package's font has Latin and Arabic letters, so that pictures of most captions are the same on every machine. For
any other letter the system's fonts are searched. Letters that no font has are boxes, and so are those that only a
layout engine can put together (a Devanagari vowel stands before the consonant that it follows) where Pillow has none;
`Piece.problem` says so, and pictures and the command line pass it on. Rejected: a font for all scripts in the package,
20 MB, and an option for a font file, since a file in the user's own folder of fonts does as much for every program.
"""

from __future__ import annotations

import contextlib
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Final, Literal, NamedTuple

from PIL import ImageFont, features

from showtell.languages.scripts import COMMON, script_name, script_of
from showtell.view.shaping import has_right_to_left, visual_line

FONT: Final = Path(str(files("showtell"))) / "view" / "fonts" / "NotoSansLatinArabic.ttf"
SUFFIXES: Final = (".ttf", ".otf", ".ttc", ".otc")
PLAIN: Final = ("Sans", "Regular")
STYLED: Final = ("Bold", "Italic", "Oblique", "Light", "Thin", "Black", "Medium", "Mono", "Serif", "Cond", "Narrow")
"""Parts of file names of fonts that are taken before others, and after them."""
PLACEHOLDERS: Final = ("LastResort", "AdobeBlank")
"""Fonts that have a box for every character."""
HAN_FACES: Final = {"zh": "SC", "zh-Hans": "SC", "zh-Hant": "TC", "yue": "HK", "ja": "JP", "ko": "KR"}
"""Of a collection of fonts, the one with the Han characters as readers of the language write them."""
JOINING: Final = frozenset({"Adlm", "Mand", "Mong", "Nkoo", "Rohg", "Syrc"})
"""Scripts whose letters join, besides Arabic, which `shaping` does."""
NO_CHARACTER: Final = "\U000f0000"
"""A private character, which fonts draw as a box."""
PROBE_SIZE: Final = 16

Problem = Literal["", "font", "layout"]
"""Why letters are boxes: no font has them, or Pillow has no layout engine."""


class FontFile(NamedTuple):
    path: str
    face: int = 0
    """Of a collection."""


OWN: Final = FontFile(str(FONT))


class Piece(NamedTuple):
    """A part of a word that one font draws; the pieces of a word stand from left to right."""

    text: str
    """In visual order, or in logical order if `direction` is given."""
    file: FontFile = OWN
    direction: Literal["ltr", "rtl"] | None = None
    """Of text for the layout engine; None: drawn letter by letter."""
    problem: Problem = ""
    letters: str = ""
    """For which the boxes stand."""


class FontBook:
    """The fonts of some folders."""

    def __init__(self, folders: Iterable[Path], has_layout: bool | None = None) -> None:
        """`has_layout`: whether Pillow has its layout engine; None: it is asked."""
        self._folders = tuple(folders)
        self._has_layout = bool(features.check("raqm")) if has_layout is None else has_layout
        self._files: list[Path] | None = None
        self._found: dict[tuple[frozenset[str], str], FontFile | None] = {}
        self._pieces = lru_cache(maxsize=4096)(self._split)

    def pieces(self, word: str, language: str) -> tuple[Piece, ...]:
        return self._pieces(word, language)

    def find(self, letters: frozenset[str], language: str) -> FontFile | None:
        """The system's first font with all the letters."""
        key = (letters, language)
        if key not in self._found:
            fonts = (face for path in self._paths() for face in _faces(path, language))
            self._found[key] = next((face for face in fonts if all(has_glyph(face, c) for c in letters)), None)
        return self._found[key]

    def _split(self, word: str, language: str) -> tuple[Piece, ...]:
        visual = visual_word(word)
        if _covers(OWN, visual):
            return (Piece(visual),)
        logical = unicodedata.normalize("NFC", word)
        if not needs_layout(logical):
            alone = self.find(_visible(visual), language)  # looks better than two fonts in a word
            return tuple(self._runs(visual, language, None)) if alone is None else (Piece(visual, alone),)
        if not self._has_layout:
            return (_boxes(logical, "font" if self.find(_visible(logical), language) is None else "layout"),)
        direction: Literal["ltr", "rtl"] = "rtl" if has_right_to_left(logical) else "ltr"
        whole = self.find(_visible(logical), language)
        if whole is not None:
            return (Piece(logical, whole, direction),)
        runs = list(self._runs(logical, language, direction))
        return tuple(reversed(runs) if direction == "rtl" else runs)

    def _runs(self, text: str, language: str, direction: Literal["ltr", "rtl"] | None) -> Iterator[Piece]:
        """Runs of letters that the package's font has, and of those that it lacks. A mark stays with its letter."""
        owned: list[bool] = []
        for character in text:
            is_attached = owned and (unicodedata.category(character)[0] == "M" or not _is_visible(character))
            owned.append(owned[-1] if is_attached else has_glyph(OWN, character))
        for is_own, group in groupby(zip(owned, text, strict=True), key=lambda pair: pair[0]):
            run = "".join(character for _, character in group)
            file = OWN if is_own else self.find(_visible(run), language)
            yield _boxes(run, "font") if file is None else Piece(run, file, None if is_own else direction)

    def _paths(self) -> list[Path]:
        if self._files is None:
            found = {path for folder in self._folders for path in _font_files(folder)}
            self._files = sorted(found, key=_preference)
        return self._files


def missing_letters(words: Sequence[str], language: str) -> dict[str, Problem]:
    """The scripts of which letters of the words are boxes, by English name, and why; a character of no script by its
    code point."""
    problems: dict[str, Problem] = {}
    for word in words:
        for piece in book().pieces(word, language):
            for letter in piece.letters:
                script = script_of(letter)
                name = script_name(script) if script != COMMON else f"U+{ord(letter):04X}"
                problems.setdefault(name, piece.problem)
    return problems


@cache
def book() -> FontBook:
    """The fonts of this machine."""
    return FontBook(font_folders(sys.platform, os.environ))


def font_folders(platform: str, environment: os._Environ[str] | dict[str, str]) -> list[Path]:
    """Where the operating system keeps fonts; a user's own first."""
    home = Path(environment.get("HOME", environment.get("USERPROFILE", "/")))
    if platform == "win32":
        local = environment.get("LOCALAPPDATA", str(home / "AppData" / "Local"))
        return [Path(local, "Microsoft", "Windows", "Fonts"), Path(environment.get("WINDIR", "C:\\Windows"), "Fonts")]
    if platform == "darwin":
        return [home / "Library" / "Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")]
    own = environment.get("XDG_DATA_HOME") or str(home / ".local" / "share")
    shared = environment.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    return [Path(own, "fonts"), home / ".fonts", *(Path(folder, "fonts") for folder in shared.split(":") if folder)]


@lru_cache(maxsize=256)
def load(file: FontFile, size: int, has_layout: bool) -> ImageFont.FreeTypeFont:
    engine = ImageFont.Layout.RAQM if has_layout else ImageFont.Layout.BASIC
    typeface = ImageFont.truetype(file.path, size, file.face, layout_engine=engine)
    if file != OWN:
        with contextlib.suppress(OSError, ValueError, NotImplementedError):  # a font of one weight
            typeface.set_variation_by_name("Regular")  # some variable fonts are thin otherwise
    return typeface


@lru_cache(maxsize=65536)
def has_glyph(file: FontFile, character: str) -> bool:
    """Whether the font draws it as anything but the box for what it lacks. False for a font that cannot be read."""
    try:
        typeface = load(file, PROBE_SIZE, False)
        mask, box = typeface.getmask(character), typeface.getmask(NO_CHARACTER)
    except OSError:
        return False  # damaged, or of bitmaps in other sizes
    return bool(mask.size != box.size or bytes(mask) != bytes(box))


def needs_layout(text: str) -> bool:
    """Whether letters of the text move, join or carry marks, so that one glyph beside the other is not it."""
    return any(unicodedata.category(c)[0] == "M" or c == "\u200d" or script_of(c) in JOINING for c in text)


def visual_word(word: str) -> str:
    """A word by itself in visual order, Arabic letters in joined forms."""
    return "".join(part.text for part in visual_line([word], has_right_to_left(word)))


def _boxes(text: str, problem: Problem) -> Piece:
    """One for each letter, none for its marks."""
    letters = "".join(c for c in text if unicodedata.category(c)[0] != "M" and _is_visible(c))
    return Piece(NO_CHARACTER * max(1, len(letters)), problem=problem, letters=letters or text)


def _covers(file: FontFile, text: str) -> bool:
    return all(has_glyph(file, character) for character in _visible(text))


def _visible(text: str) -> frozenset[str]:
    return frozenset(filter(_is_visible, text))


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Zs")


def _font_files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):  # errors are ignored: a folder need not exist
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith(PLACEHOLDERS):
                yield Path(root, name)


def _preference(path: Path) -> tuple[int, int, int, str]:
    """Noto, whose fonts go together, before others; plain before styled; a short name before a longer one."""
    name = path.stem
    styled = sum(part in name for part in STYLED) - sum(part in name for part in PLAIN)
    return (not name.startswith("NotoSans"), styled, len(name), str(path))


@lru_cache(maxsize=4096)
def _faces(path: Path, language: str) -> tuple[FontFile, ...]:
    """The font of a file, or those of a collection, the language's own first."""
    if path.suffix.lower() not in (".ttc", ".otc"):
        return (FontFile(str(path)),)
    names: list[str] = []
    with contextlib.suppress(OSError):
        while len(names) < 64:
            names.append(ImageFont.truetype(str(path), PROBE_SIZE, len(names)).getname()[0] or "")
    tags = [language, "-".join(language.split("-")[:2]), language.split("-")[0]]
    wanted = next((HAN_FACES[tag] for tag in tags if tag in HAN_FACES), "")
    order = sorted(range(len(names)), key=lambda face: not names[face].endswith(f" {wanted}"))
    return tuple(FontFile(str(path), face) for face in order)
