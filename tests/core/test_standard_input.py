"""Lists and images on standard input, as the programs that are piped into showtell write them."""

import base64
import codecs
import gzip
import io
import os
import struct
from collections.abc import Iterator
from itertools import chain

import pytest
from PIL import Image

from showtell.core import standard_input
from showtell.core.standard_input import MAX_LINE, read_standard_input
from showtell.errors import BadImage

NAMES = ["a.jpg", "Größe 1.png", "صورة/犬.webp", " with blanks .gif"]


class Pipe(io.BytesIO):
    """Gives its pieces one after another, and fails where it is asked for more than has come."""

    def __init__(self, *pieces: bytes, is_open: bool = True) -> None:
        super().__init__()
        self.pieces, self.is_open = list(pieces), is_open

    def read1(self, size: int | None = -1, /) -> bytes:
        assert self.pieces or not self.is_open, "it would wait"
        return self.pieces.pop(0) if self.pieces else b""


def listed(content: bytes, null_separated: bool = False) -> list[str]:
    paths = read_standard_input(io.BytesIO(content), null_separated)
    assert not isinstance(paths, bytes)
    return [str(path) for path in paths]


def picture(file_format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2571, 16)).save(file, file_format)  # 0x0a0b: a line feed in the header of many formats
    return file.getvalue()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_list_of_any_line_ends_and_any_byte_order_mark(encoding: str, end: str, last: bool) -> None:
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    content = mark + (end.join(NAMES) + (end if last else "")).encode(encoding)
    assert listed(content) == NAMES
    assert listed(content.replace(b"\r\n", b"\r\n\r\n") if encoding == "utf-8" else content) == NAMES
    pieces = [bytes([byte]) for byte in content]  # lines, marks, letters and CRLF broken anywhere
    paths = read_standard_input(Pipe(*pieces, is_open=False))
    assert not isinstance(paths, bytes) and list(paths) == NAMES


@pytest.mark.parametrize("end", [b"\0", b""])
def test_names_that_end_in_nul(end: bytes) -> None:
    names = [*NAMES, "new\nline\r\n.jpg", "\rfirst.jpg"]
    assert listed("\0".join(names).encode() + end, null_separated=True) == names
    assert listed(b"one.jpg", null_separated=True) == ["one.jpg"]
    assert listed(b"", null_separated=True) == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_names_that_end_in_nul_with_a_byte_order_mark(encoding: str) -> None:
    assert listed("\0".join(NAMES).encode(encoding), null_separated=True) == NAMES


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_byte_order_mark(encoding: str) -> None:
    """As `cmd /u` writes it."""
    names = ["Größe 1.png", *NAMES]
    assert listed("\r\n".join(names).encode(encoding)) == names
    assert listed("C:\\фото\\1.jpg\r\n".encode(encoding)) == ["C:\\фото\\1.jpg"]


def test_names_that_are_not_utf8_stay_what_they_are() -> None:
    names = [b"caf\xe9.jpg", b"\xff\xd8.png", b"ok.jpg", b"\xe9" * 40 + b".jpg"]
    for null_separated, separator in ((False, b"\n"), (True, b"\0")):
        assert [os.fsencode(path) for path in listed(separator.join(names), null_separated)] == names


def test_a_damaged_list_of_utf_16_loses_no_other_name() -> None:
    content = "a.jpg\n".encode("utf-16") + b"\x00\xd8" + "b.jpg\nc.jpg".encode("utf-16-le") + b"x"
    assert listed(content) == ["a.jpg", "\ufffdb.jpg", "c.jpg\ufffd"]


@pytest.mark.parametrize(
    "name",
    [
        "[a] {b}.jpg",
        "PK.jpg",
        "GIF89a.jpg",
        "BMW.jpg",
        "RIFF.webp",
        "P6 .jpg",
        "filewide.jpg",
        "<b>.jpg",
        "%20.jpg",
        "#define.jpg",
        "8BPS",
        "qoif",
    ],
)
def test_a_name_that_begins_as_an_image_does_is_a_name(name: str) -> None:
    assert listed(f"{name}\nb.jpg\n".encode()) == [name, "b.jpg"]
    assert listed(f"{name}".encode()) == [name]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_paths_are_given_as_their_lines_come(encoding: str) -> None:
    first, both = "a.jpg\n".encode(encoding), "a.jpg\nb.jpg\nc".encode(encoding)
    pipe = Pipe(first)
    paths = read_standard_input(pipe)
    assert not isinstance(paths, bytes) and next(iter(paths)) == "a.jpg"
    pipe.pieces.append(both[len(first) :])
    assert next(iter(paths)) == "b.jpg"


def test_names_that_end_in_nul_are_given_as_they_come() -> None:
    paths = read_standard_input(Pipe(b"a.jpg\0b"), null_separated=True)
    assert not isinstance(paths, bytes) and next(iter(paths)) == "a.jpg"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "ICO", "JPEG2000"])
def test_an_image_is_given_whole(file_format: str) -> None:
    data = picture(file_format)
    assert read_standard_input(io.BytesIO(data)) == data
    pieces = (data[start : start + 5] for start in range(0, len(data), 5))
    assert read_standard_input(Pipe(*pieces, is_open=False)) == data
    assert read_standard_input(io.BytesIO(data), null_separated=True) == data


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<!DOCTYPE html>\n<html>\n<title>404</title>\n", "a web page or XML"),
        (b"<?xml version='1.0'?>\n<Error>\n</Error>\n", "a web page or XML"),
        (b'{"error": "not found",\n "code": 404}\n', "JSON"),
        (b'[\n  {"image": "a.jpg"}\n]\n', "JSON"),
        (base64.encodebytes(picture("JPEG")), "an image in base64"),
        (b"data:image/png;base64," + base64.b64encode(picture("PNG")), "an image in base64"),
        (b"PK\3\4\x14\0\0\0", "an archive or a compressed file"),
        (gzip.compress(b"a.jpg\n", mtime=0), "an archive or a compressed file"),
        (bytes(100), "zeros"),
    ],
)
def test_what_is_neither_an_image_nor_a_list_is_one_refusal(content: bytes, found: str) -> None:
    with pytest.raises(BadImage, match=f"^not_an_image: found {found}.*, or give paths, one per line$"):
        read_standard_input(io.BytesIO(content))


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>\n',
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg/>\n',
        b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"#define photo_width 16\n#define photo_height 16\n",
        b"/* XPM */\nstatic char *photo[] = {\n",
        b"SIMPLE  =                    T\n",
        b"8BPS\0\1" + bytes(30),
        b"P6\n16 16\n255\n" + bytes(768),
        struct.pack(">I", 24) + b"ftypqt  " + bytes(30),
    ],
)
def test_what_is_refused_by_name_is_given_whole(data: bytes) -> None:
    """So that loading it names what it is."""
    assert read_standard_input(io.BytesIO(data)) == data


def test_an_image_is_not_read_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_input, "MAX_BYTES", 1000)
    data = picture("BMP")
    assert read_standard_input(Pipe(*(data[start : start + 64] for start in range(0, 1088, 64)))) == data[:1001]


@pytest.mark.parametrize("data", [b"./a.jpg\0./b.jpg\0", b"\x7fELF\2\1\1\0" + bytes(50)])
def test_nul_characters_without_null_are_no_list(data: bytes) -> None:
    with pytest.raises(BadImage, match=r"^not_an_image: the input begins with b'.*find -print0, add --null$"):
        read_standard_input(io.BytesIO(data))


def test_a_line_that_is_too_long_is_an_error_and_not_kept() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a.jpg\n"
        yield from (b"x" * 1000 for _ in range(1000))
        yield b"\nb.jpg\n"

    class Counted(Pipe):
        def read1(self, size: int | None = -1, /) -> bytes:
            return next(stream, b"")

    stream = chain(pieces())
    paths = read_standard_input(Counted())
    assert not isinstance(paths, bytes)
    first, error, last = paths
    assert (first, last) == ("a.jpg", "b.jpg")
    assert isinstance(error, BadImage) and error.code == "missing"
    assert error.detail == f"found a name of more than {MAX_LINE} characters: {'x' * 40}..."
