"""Paths and patterns in data specs, and an index of existing files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from showtell.errors import BadData

Found = TypeVar("Found")
_BRACES: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")


def expand_path(text: str) -> Path:
    """The path in a data spec; `~` is expanded here because no shell does that after a colon."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def resolve_folder(text: str) -> Path:
    """The folder in a data spec. Raises BadData when there is none."""
    folder = expand_path(text)
    if not folder.is_dir():
        raise BadData(folder, "a file" if folder.exists() else "no such folder", "a folder")
    return folder


def expand_braces(location: str, pattern: str, find: Callable[[str], list[Found]]) -> list[Found]:
    """All that `find` finds for the patterns without braces that `part-{000..012}.tar` stands for. `location`: the
    pattern in messages. Raises BadData."""
    found = [file for plain in _without_braces(pattern) for file in find(plain)]
    if not found:
        raise BadData(location, "no numbers in a pair of braces", "the smaller one first, as in {000..012}")
    return found


def _without_braces(pattern: str) -> list[str]:
    """`a{08..10}` -> a08, a09, a10; every pair of braces in turn."""
    braces = _BRACES.search(pattern)
    if braces is None:
        return [pattern]
    first, last = braces.groups()
    numbers = [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    return [name for n in numbers for name in _without_braces(pattern[: braces.start()] + n + pattern[braces.end() :])]


class FileIndex:
    """Whether files exist, by one scan of each folder: a stat for every file is slow on network disks."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def __contains__(self, path: Path) -> bool:
        folder = path.parent
        if folder not in self._names:
            self._names[folder] = _file_names(folder)
        return path.name in self._names[folder] or _is_file(path)


def _file_names(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except (OSError, ValueError):
        return frozenset()


def _is_file(path: Path) -> bool:
    """The slow way, only for names that the scan lacks: some file systems ignore case or Unicode form."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
