"""Standard input as the command line reads it for `-`: the bytes of one image, or a list of paths.

    bytes -> an image's signature?  all of them, up to the limit of an image file
          -> text (byte order mark, else the file system's encoding) -> lines, or names that end in NUL

A list is read lazily: a path is given as soon as its line is complete, from a pipe that stays open, too.

Rejected: text mode. A path is bytes, the mark of UTF-16 cannot be seen from a text stream, and an image is no text.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Final

from showtell.core.image import MAX_BYTES
from showtell.errors import BadImage
from showtell.image_formats import expected_formats, format_of_bytes

MAX_LINE: Final = 65_536
"""Characters; paths have at most 4,096 bytes on Linux, 32,767 characters on Windows."""
_CHUNK_BYTES: Final = 65_536
_DECISION_BYTES: Final = 32
"""Enough for the signature of any format that is decoded."""
_BYTE_ORDER_MARKS: Final = {  # UTF-32's before UTF-16's, which it begins with
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CONTROL: Final = re.compile("[\0-\x08\x0e-\x1f\x7f]")
_LINE_END: Final = re.compile("\r\n|\r|\n")


def read_standard_input(stream: BufferedIOBase, null_separated: bool = False) -> bytes | Iterator[str | BadImage]:
    """All bytes of an image (at most one more than an image file may have), or the paths of a list.

    `null_separated`: it is a list, of names that end in NUL, as `find -print0` writes it. Else names end in LF, CRLF or
    CR. Empty ones are left out. A BadImage stands for a name that is too long.

    Raises BadImage `not_an_image` for bytes that are neither, and `unreadable`, as the iterator does.
    """
    head = b"" if null_separated else _head(stream)
    if _is_binary(head) and format_of_bytes(head) is not None:
        return _rest_of_image(head, stream)
    if b"\0" in head and not head.startswith(tuple(_BYTE_ORDER_MARKS)):
        hint = "or paths, one per line; for a list of names that end in NUL, as of find -print0, add --null"
        raise BadImage("not_an_image", f"the input begins with {head[:12]!r}; {expected_formats()}, {hint}")
    return _paths(head, stream, "\0" if null_separated else None)


def _head(stream: BufferedIOBase) -> bytes:
    """The first bytes: as many as decide what the input is, and no more than have come."""
    head = b""
    while len(head) < _DECISION_BYTES and (chunk := _read(stream)):
        head += chunk
        if len(head) >= 4 and head.startswith(tuple(_BYTE_ORDER_MARKS)):
            break
        if (b"\n" in head or b"\r" in head) and not _is_binary(head):
            break
    return head


def _is_binary(head: bytes) -> bool:
    """Whether it is no list, or one whose names are not UTF-8. SVG, PostScript and PDF count as binary: their text
    begins as that of no path does."""
    if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith((b"<", b"%")):
        return format_of_bytes(head) is not None
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return True
    return _CONTROL.search(text) is not None


def _rest_of_image(head: bytes, stream: BufferedIOBase) -> bytes:
    data = bytearray(head)
    while len(data) <= MAX_BYTES and (chunk := _read(stream)):
        data += chunk
    return bytes(data[: MAX_BYTES + 1])


def _paths(head: bytes, stream: BufferedIOBase, separator: str | None) -> Iterator[str | BadImage]:
    line, is_too_long, ends_with_cr = "", False, False
    for text in filter(None, _texts(head, stream)):
        if ends_with_cr:
            text = text.removeprefix("\n")
        ends_with_cr = text.endswith("\r") and separator is None
        *lines, line = (line + text).split(separator) if separator else _LINE_END.split(line + text)
        for complete in lines:
            if complete and not is_too_long:
                yield complete
            is_too_long = False
        if len(line) > MAX_LINE:
            if not is_too_long:
                yield BadImage("missing", f"found a name of more than {MAX_LINE} characters: {line[:40]}...")
            line, is_too_long = "", True
    if line and not is_too_long:
        yield line


def _texts(head: bytes, stream: BufferedIOBase) -> Iterator[str]:
    marked = next((encoding for mark, encoding in _BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)
    # Names that are not UTF-8 stay what they are; what a marked file has wrong can name no file.
    errors = sys.getfilesystemencodeerrors() if marked is None else "replace"
    decoder = codecs.getincrementaldecoder(marked or sys.getfilesystemencoding())(errors)
    chunk = head or _read(stream)
    while chunk:
        yield decoder.decode(chunk)
        chunk = _read(stream)
    yield decoder.decode(b"", final=True)


def _read(stream: BufferedIOBase) -> bytes:
    """What has come, waiting only if that is nothing; empty at the end."""
    try:
        return stream.read1(_CHUNK_BYTES)
    except OSError as error:
        raise BadImage("unreadable", error.strerror or str(error)) from error
