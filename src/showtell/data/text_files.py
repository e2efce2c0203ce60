"""Text of files in the encodings that programs write; every failure is a `BadData` with the file and the line.

UTF-8 with or without a byte order mark, UTF-16 and UTF-32 with one (Excel's "Unicode Text", Windows' Notepad); UTF-16
without one where most letters are Latin, since then every other byte is zero.
Rejected: a guess at the code page of other bytes. Nearly every byte is a letter in Windows-1252, also where it was
meant as Cyrillic, so a wrong guess trains a model on letters that nobody wrote.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from showtell.errors import BadData

# UTF-32's mark in little-endian order begins with that of UTF-16.
ENCODINGS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
HOW_TO_CONVERT: Final = (
    "UTF-8, or UTF-16 with a byte order mark; save it as UTF-8 (in Excel: CSV UTF-8), or convert it with "
    "`iconv -f WINDOWS-1252 -t UTF-8`, if that is what it is"
)


def read_text(path: Path) -> str:
    """The text of a file. Raises BadData for a missing file and for other encodings."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadData(path, f"nothing to read ({error.strerror})", "a text file") from error
    return decode_text(path, raw)


def decode_text(file: object, raw: bytes) -> str:
    """Raises BadData, naming `file` and the line, for bytes in another encoding.

    Where there is no line feed at all, a carriage return ends lines, as on old Macs.
    """
    encoding: str | None = next((name for mark, name in ENCODINGS if raw.startswith(mark)), "utf-8")
    if encoding == "utf-8" and raw[:1000].count(0) > len(raw[:1000]) // 8:
        encoding = _utf16_without_mark(raw[:1000])
    if encoding is None:
        expected = "UTF-8, or UTF-16 with a byte order mark; convert it with `iconv -f UTF-16LE -t UTF-8`"
        raise BadData(file, "zero bytes, as in UTF-16 without a byte order mark", expected, 1)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode(encoding, "ignore")
        line = 1 + (before.count("\n") or before.count("\r"))
        name = encoding.removesuffix("-sig").upper()
        raise BadData(file, f"the byte 0x{raw[error.start]:02x}, which is not {name}", HOW_TO_CONVERT, line) from error
    return text if "\n" in text else text.replace("\r", "\n")


def _utf16_without_mark(head: bytes) -> str | None:
    first, second = head[0::2].count(0), head[1::2].count(0)
    if max(first, second) <= len(head) // 4 or min(first, second):
        return None
    return "utf-16-le" if second else "utf-16-be"


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
