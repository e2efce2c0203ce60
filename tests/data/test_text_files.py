import codecs
from pathlib import Path

import pytest

from showtell.data.text_files import collapse_whitespace, decode_text, read_lines, read_text
from showtell.errors import BadData

TEXT = "a dog\na café\nكلب\n"


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
        codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_encodings_and_line_ends(tmp_path: Path, raw: bytes, end: str) -> None:
    encoding = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe\0": "utf-32-le", b"\0\0\xfe": "utf-32-be"}.get(raw[:3])
    encoding = encoding or {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(raw[:2], "utf-8")
    file = tmp_path / "a.txt"
    file.write_bytes(raw.replace("\n".encode(encoding), end.encode(encoding)))
    assert [line for _, line in read_lines(file)] == ["a dog", "a café", "كلب"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["a dog", "file_name,text\na.jpg,Ein Hündchen im Gras\n" * 100, "a.jpg,犬の写真\n"])
def test_utf16_without_a_mark(encoding: str, text: str) -> None:
    assert decode_text("a.txt", text.encode(encoding)) == text


def test_lines_keep_their_numbers_over_blank_lines_and_windows_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\n\r\n  \nfour\xe2\x80\xa8still four")
    assert list(read_lines(file)) == [(1, "one"), (4, "four\u2028still four")]


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("a dog\na café\n".encode("cp1252"), "line 2: found the byte 0xe9, which is not UTF-8"),
        ("a dog\ra café\r".encode("cp1252"), "line 2: found the byte 0xe9, which is not UTF-8"),
        ("собака\n".encode("cp1251"), "line 1: found the byte 0xf1, which is not UTF-8"),
        (codecs.BOM_UTF16_LE + "a\nb".encode("utf-16-le")[:-1], "line 2: found the byte 0x62, which is not UTF-16"),
        ("قطة, كلب\n".encode("utf-16-le"), "line 1: found zero bytes, as in UTF-16 without a byte order mark"),
        (b"a dog\0", "line 1: found zero bytes, as in UTF-16 without a byte order mark"),
    ],
)
def test_another_encoding_is_refused_with_its_line_and_how_to_convert(raw: bytes, found: str) -> None:
    with pytest.raises(BadData, match=rf"a\.txt, {found}") as caught:
        decode_text("a.txt", raw)
    encoding = "UTF-16LE" if "zero bytes" in found else "WINDOWS-1252"
    assert caught.match(f"expected UTF-8.*iconv -f {encoding} -t UTF-8")


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_what_cannot_be_read_is_bad_data(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadData, match="found nothing to read"):
        read_text(tmp_path / name)


def test_collapse_whitespace_makes_one_line() -> None:
    assert collapse_whitespace("  a dog\n\truns ") == "a dog runs"
