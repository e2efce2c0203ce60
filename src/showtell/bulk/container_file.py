"""The file of a container, on a disk or in storage: how it is opened, what a name in it means, how a part is read.

What is read later, by a loader thread or another process, is a small object that can be pickled: a name and a range, or
the bytes themselves.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Protocol
from urllib.parse import quote, urljoin

from showtell.bulk.stored_image import StoredImage
from showtell.core.image import MAX_BYTES
from showtell.core.sources import ImageInput
from showtell.errors import BadImage
from showtell.remote.opened import ObjectPart, open_url
from showtell.urls import is_stored, is_url, without_secrets

SMALL: Final = 1024 * 1024
"""Bytes of a part that is read with its surroundings: a request of its own takes as long as this many bytes."""

ReadPart = Callable[[int, int], Callable[[], bytes]]
"""From offset and size to what reads the part, at once or when it is called."""


class ContainerFile(Protocol):
    @property
    def name(self) -> str:
        """In keys and messages."""

    def open(self) -> BinaryIO:
        """A file that can be moved in. Raises OSError, BadImage."""

    def parts(self, file: BinaryIO) -> ReadPart:
        """Of a file from `open`."""

    def named(self, cell: str) -> ImageInput:
        """The photo that a table calls `cell`."""


def suffix_of(file: ContainerFile) -> str:
    return PurePosixPath(file.name).suffix.lower()


@dataclass(frozen=True)
class InMemory:
    """Bytes that could be read only once, as those in a compressed file."""

    data: bytes

    def __call__(self) -> bytes:
        return self.data


@dataclass(frozen=True)
class FileSlice:
    """A part of a file. Calling it gives its bytes; raises BadImage."""

    file: Path
    offset: int
    size: int
    status: tuple[int, int]
    """Size and modification time of the file when it was opened."""

    def __call__(self) -> bytes:
        try:
            with self.file.open("rb") as file:
                if _status(file) != self.status:
                    raise BadImage("unreadable", f"{self.file} has changed since its headers were read; run it again")
                file.seek(self.offset)
                data = file.read(min(self.size, MAX_BYTES + 1))
        except OSError as error:
            raise BadImage("unreadable", f"{self.file}: {error.strerror or error}") from error
        if len(data) < min(self.size, MAX_BYTES + 1):
            raise BadImage("truncated", f"{self.file} ends within the photo; download it again")
        return data


@dataclass(frozen=True)
class LocalFile:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def open(self) -> BinaryIO:
        return self.path.open("rb")

    def parts(self, file: BinaryIO) -> ReadPart:
        status = _status(file)
        return lambda offset, size: FileSlice(self.path, offset, size, status)

    def named(self, cell: str) -> ImageInput:
        if is_url(cell):
            return named_url(cell, cell)
        file = os.path.join(self.path.parent, cell)  # noqa: PTH118 (a cell may be any text)
        return ImageInput(cell, file=file if file != cell else None)


@dataclass(frozen=True)
class RemoteFile:
    """Of object storage, or of a web server."""

    url: str

    @property
    def name(self) -> str:
        return without_secrets(self.url)

    def open(self) -> BinaryIO:
        return open_url(self.url)

    def parts(self, file: BinaryIO) -> ReadPart:
        status = getattr(file, "status", None)

        def read(offset: int, size: int) -> Callable[[], bytes]:
            if status is not None and size > SMALL:
                return ObjectPart(self.url, offset, min(size, MAX_BYTES + 1), status)
            file.seek(offset)
            data = file.read(min(size, MAX_BYTES + 1))
            if len(data) < min(size, MAX_BYTES + 1):
                raise EOFError(f"the file ends within the photo at byte {offset}")
            return InMemory(data)

        return read

    def named(self, cell: str) -> ImageInput:
        if is_url(cell):
            return named_url(cell, cell)
        if cell.startswith(("/", "\\", "~")) or cell[1:3] in (":\\", ":/"):
            detail = "found a local path in a remote table; expected a path from the table's folder, or a URL"
            return ImageInput(cell, BadImage("url_refused", detail))
        if not is_stored(self.url):
            return named_url(cell, urljoin(self.name, quote(cell, safe="/%?&=~+!$,;:'()*@")))
        scheme, _, path = self.url.partition("://")
        bucket, _, key = path.partition("/")
        below = posixpath.normpath(posixpath.join(posixpath.dirname(key), cell))
        if below == ".." or below.startswith("../"):
            return ImageInput(
                cell, BadImage("url_refused", f"found a path out of the bucket {bucket}; expected one in it")
            )
        return named_url(cell, f"{scheme}://{bucket}/{below}")


def named_url(key: str, url: str) -> ImageInput:
    """The photo at `url`, called `key`. One of a web server is given a `read` by `cli.urls`."""
    return ImageInput(key, read=StoredImage(url) if is_stored(url) else None, file=url if url != key else None)


def _status(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
