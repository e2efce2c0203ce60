"""Tiny data sets on disk."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Photos = Callable[..., None]
Write = Callable[[str, str], Path]


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Makes small real image files, each of another colour, by their paths below the test's folder."""

    def make(*names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (zlib.crc32(name.encode()) % 256, 80, 80)).save(path, quality=100)

    return make


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a text file by its path below the test's folder."""

    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    return make
