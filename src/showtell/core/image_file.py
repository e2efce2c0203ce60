"""Reading of image files: what is no file, is closed, empty or too large is a BadImage, before anything is decoded."""

from __future__ import annotations

import stat
from io import TextIOBase, UnsupportedOperation
from pathlib import Path
from typing import BinaryIO

from showtell.errors import BadImage


def open_file(path: Path, max_bytes: int) -> BinaryIO:
    """Raises BadImage when there is no such file, it is no file, it cannot be read, is empty or too large."""
    try:
        status = path.stat()
        # Opening a named pipe would wait for a writer that may never come.
        if not stat.S_ISREG(status.st_mode):
            found = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
            raise BadImage("unreadable", f"found {found}; expected a file")
        check_bytes(status.st_size, max_bytes)
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadImage("missing", "no such file") from error
    except OSError as error:
        raise BadImage("unreadable", error.strerror or str(error)) from error
    except ValueError as error:  # a NUL or a lone surrogate in the name: no file can be called that
        raise BadImage("missing", "no file can have this name") from error


def read_file(file: BinaryIO, max_bytes: int) -> bytes:
    """The bytes of an open file, from its start; its position stays. One that has none (a pipe, a download) is read
    from where it is. At most `max_bytes` and one more. Raises BadImage when it cannot be read."""
    if getattr(file, "closed", False) is True:
        raise BadImage("unreadable", "the file is closed; expected an open one")
    if isinstance(file, TextIOBase):
        raise BadImage("unreadable", "the file is opened in text mode; expected binary mode: open(path, 'rb')")
    try:
        try:
            position = file.tell()
            file.seek(0)
        except (OSError, AttributeError):
            return _read_all(file, max_bytes)
        try:
            return _read_all(file, max_bytes)
        finally:
            file.seek(position)
    except (BadImage, MemoryError):
        raise
    except UnsupportedOperation as error:
        raise BadImage("unreadable", "the file is opened for writing only; expected open(path, 'rb')") from error
    except Exception as error:  # a download, an archive's member: each kind of file has errors of its own
        raise BadImage("unreadable", one_line(error)) from error


def _read_all(file: BinaryIO, max_bytes: int) -> bytes:
    """At most `max_bytes` and one more."""
    data = bytearray()
    while len(data) <= max_bytes:
        part = file.read(max_bytes + 1 - len(data))  # unbuffered ones give a part of it
        if not isinstance(part, bytes):
            raise BadImage("unreadable", f"reading gave {type(part).__name__}; expected a file opened in binary mode")
        if not part:
            break
        data += part
    return bytes(data)


def check_bytes(count: int, max_bytes: int) -> None:
    """Raises BadImage for an empty file and one of more than `max_bytes`."""
    if count == 0:
        raise BadImage("empty", "found 0 bytes; expected an image")
    if count > max_bytes:
        limit = f"{max_bytes / 2**20:.3g} MiB"
        raise BadImage("too_large", f"found more than {limit}; expected at most that; save it smaller")


def one_line(error: BaseException) -> str:
    """A foreign error's message, or its name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
