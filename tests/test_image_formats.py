import re
from pathlib import Path

import pytest

from showtell.image_formats import (
    ACCEPT_ATTRIBUTE,
    ACCEPT_HEADER,
    DECODED,
    FORMATS,
    format_of_bytes,
    format_of_suffix,
    has_image_suffix,
    has_undecoded_suffix,
    resolve,
)


@pytest.mark.parametrize("image_format", DECODED, ids=lambda image_format: image_format.name)
def test_what_a_decoded_format_names_exists(image_format) -> None:
    assert callable(resolve(image_format.opener))
    assert image_format.structure_check is None or callable(resolve(image_format.structure_check))
    assert image_format.signature and image_format.suffixes and image_format.media_types


def test_no_suffix_and_no_name_has_two_formats() -> None:
    suffixes = [suffix for image_format in FORMATS for suffix in image_format.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert len(FORMATS) == len({image_format.name for image_format in FORMATS})
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in suffixes)


@pytest.mark.parametrize(
    "name",
    [
        *("a.jpg", "a.JPEG", "a.jpe", "a.jfif", "a.jif", "a.MPO", "a.b.png", "a.apng", Path("folder") / "a.Tiff"),
        *("a.tif", "a.webp", "a.bmp", "a.dib", "a.gif", "a.avif", "a.avifs", "a.HEIC", "a.heif", "a.hif"),
    ],
)
def test_an_image(name: str | Path) -> None:
    assert has_image_suffix(name)
    assert not has_undecoded_suffix(name)


@pytest.mark.parametrize("name", ["jpg", ".jpg", "a.jpg.txt", "a.jpg/b", "a.txt", "a.pdf", "a.mov", ""])
def test_no_image(name: str) -> None:
    assert not has_image_suffix(name)
    assert not has_undecoded_suffix(name)


@pytest.mark.parametrize("name", ["a.svg", "a.CR2", "a.nef", "a.arw", "a.dng", "a.jxl", "a.jp2", "a.psd", "a.ico"])
def test_a_picture_that_is_not_decoded(name: str) -> None:
    assert has_undecoded_suffix(name)
    assert not has_image_suffix(name)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf", "AVIF"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypheix\0\0\0\0mif1heix", "HEIC"),
        (b"\0\0\0\x18ftypavci\0\0\0\0mif1avci", "HEIF of another codec"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "camera raw"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0qt  ", "film"),
        (b"II*\0\x10\0\0\0CR\x02\0", "camera raw"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"\xff\xd8\xff\xe1..", "JPEG"),
        (b"\xff\xd8\xff\xf7..", "JPEG-LS"),
        (b"\xff\x0a.", "JPEG XL"),
        (b"  <svg width='1'>", "SVG"),
        (b"\0\0\1\0\2\0", "icon"),
        (b"\0\0\2\0\0\0\0\0\0\0\0\0", None),  # Targa, which only its suffix tells
        (b"no picture", None),
    ],
)
def test_format_of_bytes(head: bytes, expected: str | None) -> None:
    found = format_of_bytes(head)
    assert (found.name if found else None) == expected


def test_the_name_tells_a_camera_raw_from_a_tiff_and_nothing_else() -> None:
    raw = format_of_bytes(b"II*\0\x08\0\0\0", "IMG_1.NEF")
    assert raw is format_of_suffix("a.dng") and not raw.is_decoded
    assert format_of_bytes(b"II*\0\x08\0\0\0", "IMG_1.jpg").name == "TIFF"
    assert format_of_bytes(b"\xff\xd8\xff\xe1", "IMG_1.NEF").name == "JPEG"


def test_lists_for_requests_and_the_page() -> None:
    assert ACCEPT_HEADER == ("image/jpeg, image/png, image/webp, image/gif, image/avif;q=0.8, image/*;q=0.5")
    assert ACCEPT_ATTRIBUTE.startswith("image/*,.jpg,.jpeg,") and ",.heic," in ACCEPT_ATTRIBUTE
