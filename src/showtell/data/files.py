"""Text files and file names; every failure is a `BadData` with the file and the line."""

from __future__ import annotations

import os
from collections.abc import Iterator
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


def read_text(path: Path) -> str:
    """UTF-8 text, with or without a byte order mark. Raises BadData for a missing file and for other encodings."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadData(path, f"nothing to read ({error.strerror})", "a text file") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadData(path, f"the byte 0x{error.object[error.start]:02x}, which is not UTF-8", "UTF-8", line) from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines without their ends; blank lines are skipped. Raises BadData as `read_text`."""
    return numbered_lines(read_text(path))


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Like `read_lines`, for text in memory."""
    # str.splitlines would also break captions at U+2028 and other characters that are no line ends in these formats.
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not line.isspace():
            yield number, line.rstrip("\r")


def collapse_whitespace(caption: str) -> str:
    """The caption without outer white space and with single spaces inside, so that it fits on one line of any file."""
    return " ".join(caption.split())


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
