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
from showtell.core.no_image import known_content
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
_UNMARKED: Final = {
    "utf-16-le": re.compile(rb"(..)*?([ -~]\0){3}", re.DOTALL),
    "utf-16-be": re.compile(rb"(..)*?(\0[ -~]){3}", re.DOTALL),
}
"""Three Latin letters side by side, such as those of a suffix."""
_TEXT_IMAGE: Final = re.compile(rb"(\xef\xbb\xbf)?\s*(<|%|/\* XPM|#define |#\?R|SIMPLE  =)")
"""How SVG, PDF, PostScript, X bitmaps, Radiance HDR and FITS begin, and no path does. Without this list, the letters of
binary formats (GIF89a) would be taken for an image where a path begins with them."""
_CONTROL: Final = re.compile("[\0-\x08\x0e-\x1f\x7f]")
_LINE_END: Final = re.compile("\r\n|\r|\n")


def read_standard_input(stream: BufferedIOBase, null_separated: bool = False) -> bytes | Iterator[str | BadImage]:
    """All bytes of an image (at most one more than an image file may have), or the paths of a list.

    `null_separated`: the names of a list end in NUL, as `find -print0` writes it. Else they end in LF, CRLF or CR.
    Empty ones are left out. A BadImage stands for a name that is too long.

    Raises BadImage `not_an_image` for bytes that are neither, and `unreadable`, as the iterator does.
    """
    head = _head(stream, null_separated)
    if _is_binary(head, null_separated) and format_of_bytes(head) is not None:
        return _rest_of_image(head, stream)
    if known := known_content(head):
        raise BadImage("not_an_image", f"found {known}, or give paths, one per line")
    encoding = _encoding(head, null_separated)
    if b"\0" in head and encoding is None and not null_separated:
        hint = "or paths, one per line; for a list of names that end in NUL, as of find -print0, add --null"
        raise BadImage("not_an_image", f"the input begins with {head[:12]!r}; {expected_formats()}, {hint}")
    return _paths(head, stream, encoding, "\0" if null_separated else None)


def _head(stream: BufferedIOBase, null_separated: bool) -> bytes:
    """The first bytes: as many as decide what the input is, and no more than have come."""
    head = b""
    while len(head) < _DECISION_BYTES and (chunk := _read(stream)):
        head += chunk
        if len(head) >= 4 and head.startswith(tuple(_BYTE_ORDER_MARKS)):
            break
        ends = (b"\0",) if null_separated else (b"\n", b"\r")
        if any(end in head for end in ends) and not _is_binary(head, null_separated):
            break
    return head


def _is_binary(head: bytes, null_separated: bool) -> bool:
    """Whether it is no list, or one whose names are not UTF-8; also for an image that is text."""
    if null_separated and not head.startswith(b"\0"):  # no name is empty
        head = head.replace(b"\0", b"\n")
    if _TEXT_IMAGE.match(head) and format_of_bytes(head) is not None:
        return True
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


def _encoding(head: bytes, null_separated: bool) -> str | None:
    """By the byte order mark, or as UTF-16 without one (`cmd /u`) by the zeros; None: the file system's."""
    marked = next((encoding for mark, encoding in _BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)
    if marked is not None or null_separated:
        return marked
    return next((encoding for encoding, pattern in _UNMARKED.items() if pattern.match(head[:_DECISION_BYTES])), None)


def _paths(
    head: bytes, stream: BufferedIOBase, encoding: str | None, separator: str | None
) -> Iterator[str | BadImage]:
    line, is_too_long = "", False
    for text in _texts(head, stream, encoding):
        *lines, line = (line + text).split(separator) if separator else _LINE_END.split(line + text)
        for complete in lines:  # an empty one where CRLF came in two pieces
            if complete and not is_too_long:
                yield complete
            is_too_long = False
        if len(line) > MAX_LINE:
            if not is_too_long:
                yield BadImage("missing", f"found a name of more than {MAX_LINE} characters: {line[:40]}...")
            line, is_too_long = "", True
    if line and not is_too_long:
        yield line


def _texts(head: bytes, stream: BufferedIOBase, encoding: str | None) -> Iterator[str]:
    # Names that are not UTF-8 stay what they are; what a file in Unicode has wrong can name no file.
    errors = sys.getfilesystemencodeerrors() if encoding is None else "replace"
    decoder = codecs.getincrementaldecoder(encoding or sys.getfilesystemencoding())(errors)
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
