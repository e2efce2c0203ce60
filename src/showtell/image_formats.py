"""The image formats that are read, by Pillow's name, and the file suffixes that mean an image."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Final

FORMAT_SUFFIXES: Final = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "WebP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
IMAGE_SUFFIXES: Final = frozenset(suffix for suffixes in FORMAT_SUFFIXES.values() for suffix in suffixes)


def has_image_suffix(name: str | os.PathLike[str]) -> bool:
    """Whether a file of that name counts as an image; case is ignored."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES
