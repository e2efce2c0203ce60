"""The members of a zip file or a tar, from a stranger: names that leave the folder and links are refused.

An archive with a single such name is refused as a whole, since no data set has one. Nothing is written by the archive's
names: whoever unpacks makes paths of its own. Rejected: `extractall` of zipfile and tarfile, whose treatment of links,
devices, permissions and names differs between versions of Python.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from showtell.errors import BadData

_EXPECTED: Final = "the archive as its authors publish it; download it again"
_BROKEN: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, ValueError),  # of zipfile, for headers that make no sense
)
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_TAR_OVERHEAD: Final = 1 << 24
"""Bytes for headers and padding."""
_DRIVE: Final = re.compile("[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    parts: tuple[str, ...]
    """Of its path, which stays below the folder it is unpacked to."""
    size: int
    """Bytes, as the archive says."""
    open: Callable[[], IO[bytes]]
    """Before the next member is asked for."""


@contextlib.contextmanager
def opened(archive: Path, max_bytes: int) -> Iterator[Iterator[Member]]:
    """The files in it. `max_bytes`: of all that is decompressed; beyond that a tar is refused.

    Raises BadData, also while members are read, for a broken archive, and for what no honest one has.
    """
    try:
        with archive.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        if is_zip:
            with zipfile.ZipFile(archive) as opened_zip:
                yield _of_zip(archive, opened_zip)
        else:
            with contextlib.ExitStack() as stack:
                raw = stack.enter_context(archive.open("rb"))
                is_compressed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                plain = stack.enter_context(gzip.GzipFile(fileobj=raw)) if is_compressed else raw
                limited = io.BufferedReader(_Limited(archive, plain, 2 * max_bytes + _TAR_OVERHEAD))
                yield _of_tar(archive, stack.enter_context(tarfile.open(fileobj=limited, mode="r|")))
    except _BROKEN as error:
        raise BadData(archive, f"a broken archive ({error})", _EXPECTED) from error


def _of_zip(archive: Path, file: zipfile.ZipFile) -> Iterator[Member]:
    for info in file.infolist():
        parts = _checked(archive, info.orig_filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadData(archive, f"{info.orig_filename!r}, a link or a device", _EXPECTED)
        if info.is_dir() or kind == stat.S_IFDIR:
            continue
        if info.flag_bits & 1 or info.compress_type not in _METHODS:
            raise BadData(
                archive, f"{info.orig_filename!r}, which is encrypted or compressed in another way", _EXPECTED
            )
        yield Member(parts, info.file_size, _opener(file, info))


def _opener(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: file.open(info)


def _of_tar(archive: Path, file: tarfile.TarFile) -> Iterator[Member]:
    for info in file:
        parts = _checked(archive, info.name)
        if info.isdir():
            continue
        if not info.isreg() or info.issparse():
            raise BadData(archive, f"{info.name!r}, a link or a device", _EXPECTED)
        yield Member(parts, info.size, _extractor(file, info))
        file.members = []  # type: ignore[attr-defined]  # 30,000 headers are not kept


def _extractor(file: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def open_() -> IO[bytes]:
        content = file.extractfile(info)
        assert content is not None  # of a regular file
        return content

    return open_


def _checked(archive: Path, name: str) -> tuple[str, ...]:
    """The parts of a name. Raises BadData unless it stays below the folder on every system."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or _DRIVE.match(name):
        raise BadData(archive, f"{name!r}, which is outside of its folder", _EXPECTED)
    return parts


class _Limited(io.RawIOBase):
    """Reads from `file`, and raises BadData beyond `limit` bytes: a small file that expands without end."""

    def __init__(self, archive: Path, file: Any, limit: int) -> None:
        self._archive, self._file, self._left = archive, file, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        self._left -= len(block)
        if self._left < 0:
            raise BadData(self._archive, "far more bytes than the data set has", _EXPECTED)
        buffer[: len(block)] = block
        return len(block)
