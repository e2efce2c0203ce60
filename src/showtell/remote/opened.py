"""An object, or a file on a web server, as a file that can be moved in; and parts of it that are read later.

A part knows the version that it belongs to: bytes of an object that has changed meanwhile are an error, never those of
another photo.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

from showtell.errors import BadImage
from showtell.remote.client import ObjectStatus, read_range, status_of
from showtell.remote.http_ranges import probe, read_whole
from showtell.remote.range_file import RangeFile
from showtell.urls import is_stored


@dataclass(frozen=True, repr=False)
class ObjectPart:
    """Bytes of an object of that version. Calling it gives them, all of them; raises BadImage."""

    url: str
    offset: int
    size: int
    status: ObjectStatus

    def __call__(self) -> bytes:
        try:
            data = read_range(self.url, self.offset, self.offset + self.size)
        except BadImage as error:
            if error.code != "url_failed":
                self._check_version()  # a request for bytes that are not there any more fails in its own way
            raise
        # After each range: no other storage than S3 gives a range of one version only.
        self._check_version()
        if len(data) != self.size:
            raise BadImage("truncated", f"found {len(data)} bytes from byte {self.offset} on; expected {self.size}")
        return data

    def __repr__(self) -> str:
        """What the data and the cache of features are known by; the same tomorrow."""
        return f"{type(self).__name__}({self.url!r}, {self.offset}, {self.size}, {self.status.version})"

    def _check_version(self) -> None:
        try:
            now = current_status(self.url)
        except BadImage as error:
            if error.code != "missing":
                raise
            raise BadImage("unreadable", "the container was removed while it was read; run it again") from error
        if now != self.status:
            raise BadImage("unreadable", "the container has changed while it was read; run it again")


class OpenedObject(io.BufferedReader):
    """Of one version. Buffered, because pyarrow and tarfile expect all bytes that they ask for, which a raw file need
    not give."""

    def __init__(self, url: str, status: ObjectStatus) -> None:
        file = RangeFile(status.size, lambda start, end: ObjectPart(url, start, end - start, status)())
        super().__init__(file, 1 << 16)
        self.status = status


def open_url(url: str) -> BinaryIO:
    """An OpenedObject, or all bytes of a file on a server that gives no ranges. Raises BadImage."""
    status = current_status(url)
    return io.BytesIO(read_whole(url)) if status is None else OpenedObject(url, status)


def current_status(url: str) -> ObjectStatus | None:
    """None for a file on a server that gives no ranges. Raises BadImage."""
    if not is_stored(url):
        return probe(url)
    status = status_of(url)
    if status is None:
        raise BadImage("unreadable", "found a folder; expected a file, or the folder's name with a slash at its end")
    return status
