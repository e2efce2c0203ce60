"""Finds the photo that a table means by a name that is not exactly the name of a file.

Tables are written on other systems and in other folders than they are read in. A name is looked for as it stands; then
with the slashes of this system, without percent-encoding; then among the files below a folder, where

    case and Unicode form (NFC or NFD) may differ       img_1.jpg        IMG_1.JPG
    leading folders of the name may not exist here      C:\\data\\1.jpg    1.jpg
    the file may lie deeper                             1.jpg            Images/1.jpg
    the suffix may be absent                            1                1.jpg

Rejected: taking a file of the same name in another folder (train/1.jpg for val/1.jpg), and the first of several.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from showtell.data.files import FileIndex
from showtell.image_formats import has_image_suffix

MAX_NAME: Final = 4096
"""Characters of a name that is looked for; a longer one is a caption in the wrong column."""


class AmbiguousName(Exception):
    """Several photos have the name; `paths` are two of them."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(" or ".join(map(str, paths)))
        self.paths = paths


class PhotoFinder:
    def __init__(self, root: Path) -> None:
        """`root`: the folder below which photos are looked for when they are not where they are said to be."""
        self.root = root
        self._existing = FileIndex()
        self._below: dict[str, list[tuple[tuple[str, ...], Path]]] | None = None
        """By file name, and by file name without suffix; each with its parts below `root`."""

    def find(self, folder: Path, name: str) -> Path | None:
        """The file of that name, relative to `folder`; None where there is none. Raises AmbiguousName."""
        if len(name) > MAX_NAME:
            return None
        names = list(dict.fromkeys((name, plain_name(name))))
        for spelling in names:
            if folder / spelling in self._existing:
                return folder / spelling
        return self._search(names[-1])

    def _search(self, name: str) -> Path | None:
        parts = _parts(name)
        if not parts:
            return None
        if self._below is None:
            self._below = defaultdict(list)
            for path in _photos_below(self.root):
                whole = _parts(path.relative_to(self.root).as_posix())
                self._below[whole[-1]].append((whole, path))
                stem = PurePosixPath(whole[-1]).stem
                if not has_image_suffix(stem):
                    self._below[stem].append(((*whole[:-1], stem), path))
        matches = [
            (min(len(whole), len(parts)), path)
            for whole, path in self._below.get(parts[-1], ())
            if _one_ends_with_other(whole, parts)
        ]
        # The more folders agree, the likelier it is meant; then the spelling decides.
        most = max((agreeing for agreeing, _ in matches), default=0)
        likely = [path for agreeing, path in matches if agreeing == most]
        if len(likely) > 1:
            likely = [path for path in likely if _spelled_alike(path, name, most)] or likely
        if len(likely) > 1:
            raise AmbiguousName(likely[:2])
        return likely[0] if likely else None


def plain_name(name: str) -> str:
    """The name with forward slashes, without `file://` and percent-encoding."""
    if name.lower().startswith("file://"):
        name = "/" + name[7:].partition("/")[2]
    return unquote(name.replace("\\", "/"))


def comparable_name(name: str) -> str:
    """Equal for names that differ in case, in Unicode form, or in the direction of slashes only."""
    return "/".join(_parts(plain_name(name)))


def _parts(name: str) -> tuple[str, ...]:
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    parts = folded.split("/")
    above = max((index + 1 for index, part in enumerate(parts) if part == ".."), default=0)
    return tuple(part for part in parts[above:] if part not in ("", "."))


def _one_ends_with_other(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    short, long = sorted((one, other), key=len)
    return long[len(long) - len(short) :] == short


def _spelled_alike(path: Path, name: str, parts: int) -> bool:
    """Whether the last `parts` of both are the same but for their Unicode form."""
    ends = [PurePosixPath(unicodedata.normalize("NFC", text)).parts[-parts:] for text in (path.as_posix(), name)]
    return ends[0] == ends[1]


def _photos_below(root: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if has_image_suffix(name) and not name.startswith("."):
                yield Path(folder) / name
