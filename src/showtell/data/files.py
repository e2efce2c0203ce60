"""Paths in data specs, and an index of existing files."""

from __future__ import annotations

import os
from pathlib import Path

from showtell.errors import BadData


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
