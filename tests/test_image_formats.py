from pathlib import Path

import pytest

from showtell.core.image_guards import DECODERS
from showtell.image_formats import FORMAT_SUFFIXES, has_image_suffix


def test_every_format_that_is_decoded_has_a_suffix() -> None:
    assert set(FORMAT_SUFFIXES) == set(DECODERS)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.b.png", Path("folder") / "a.Tiff", "a.tif", "a.webp", "a.bmp"])
def test_an_image(name: str | Path) -> None:
    assert has_image_suffix(name)


@pytest.mark.parametrize("name", ["jpg", ".jpg", "a.jpg.txt", "a.jpg/b", "a.svg", "a.heic", ""])
def test_no_image(name: str) -> None:
    assert not has_image_suffix(name)
