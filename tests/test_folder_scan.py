"""Names and first bytes that decide what a folder scan does with a file; `core/test_sources.py` scans folders."""

from pathlib import Path

import pytest

from showtell.errors import BadImage
from showtell.folder_scan import (
    ATTENTION_MAP,
    HIDDEN,
    OTHER,
    REPEATED,
    SYSTEM,
    PassedOver,
    check_file,
    is_other,
    skip_reason,
)
from showtell.image_formats import FORMATS


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *[(name, HIDDEN) for name in (".a.jpg", "._IMG_1.HEIC", ".DS_Store", ".git", ".thumbnails", ".Trash-1000")],
        *[(name, SYSTEM) for name in ("@eaDir", "@EADIR", "#recycle", "__MACOSX", "Thumbs.db", "desktop.ini")],
        *[(name, SYSTEM) for name in ("$RECYCLE.BIN", "System Volume Information", "lost+found", "Icon\r")],
        *[(name, ATTENTION_MAP) for name in ("dog.attention.png", "dog.attention.webp")],
        *[(name, None) for name in ("a.jpg", "recycle", "eaDir", "Thumbs.jpg", "attention.png", "dog.attention.gif")],
    ],
)
def test_names_that_are_passed_over(name: str, reason: str | None) -> None:
    assert skip_reason(name) == reason


def test_every_picture_of_the_registry_is_looked_at_and_no_film_or_document() -> None:
    for image_format in FORMATS:
        for suffix in image_format.suffixes:
            assert is_other(f"a{suffix}") == is_other(f"A{suffix.upper()}") == (not image_format.is_picture), suffix


@pytest.mark.parametrize("name", ["a.txt", "a.jpg.json", "a.CSV", "a.html", "a.xmp", "a.AAE", "a.gz", "a.zip", "a.mp3"])
def test_suffixes_of_something_else_are_believed(name: str) -> None:
    assert is_other(name)


@pytest.mark.parametrize(
    "name", ["a", "a.", "a.jpg~", "a.JPG_large", "a.jpg.1", "a.jpeg?w=8", "a.bin", "a.part", "a.b c"]
)
def test_names_that_say_nothing_are_looked_into(name: str) -> None:
    assert not is_other(name)


@pytest.mark.parametrize("image_format", FORMATS, ids=lambda image_format: image_format.name)
def test_a_picture_whose_bytes_are_of_no_image(image_format: object, tmp_path: Path) -> None:
    """One of a decoded format is loaded, which says what is wrong with it; another has only its name."""
    for suffix in image_format.suffixes if image_format.is_picture else ():  # type: ignore[attr-defined]
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"once upon a time")
        if image_format.is_decoded:  # type: ignore[attr-defined]
            assert check_file(str(path))
        else:
            with pytest.raises(BadImage, match=rf"^unsupported: found {image_format.name}, by its name; expected JPEG"):  # type: ignore[attr-defined]
                check_file(str(path))


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({}, "0 files passed over: "),
        ({HIDDEN: 1}, "1 file passed over: 1 hidden"),
        ({REPEATED: 2, ATTENTION_MAP: 1}, "3 files passed over: 2 links to folders searched before, 1 attention map"),
        ({SYSTEM: 2, HIDDEN: 2, OTHER: 3}, "7 files passed over: 3 no pictures, 2 hidden, 2 of the system"),
    ],
)
def test_the_line_of_counts(counts: dict[str, int], line: str) -> None:
    passed_over = PassedOver()
    for kind, count in counts.items():
        for _ in range(count):
            passed_over.add(kind)
    assert str(passed_over) == line and passed_over.total == sum(counts.values())
