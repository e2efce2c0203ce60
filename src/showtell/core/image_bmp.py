"""BMP: guard and parser."""

from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO, Final

from PIL.BmpImagePlugin import BmpImageFile

from showtell.core.image_guards import SLACK_BYTES, too_large

MAX_RLE_PIXELS: Final = 9_000_000
MAX_RLE_SIDE: Final = 16_384
"""Limits of a run-length-coded BMP, which Pillow decodes in Python. Real ones have 256 colours: old screenshots and
scanned pages (A4 at 300 dpi is 8.7 million pixels)."""


class Bmp(BmpImageFile):
    """Opaque where no pixel has alpha: programs announce it and leave it empty, as Windows does with screenshots."""

    def load(self) -> Any:
        is_decoded_now = bool(self.tile)
        access = super().load()
        if is_decoded_now and self.mode == "RGBA" and self.getchannel("A").getextrema() == (0, 0):
            self.putalpha(255)
        return access


def check_bmp(file: BinaryIO) -> None:
    head = file.read(34)
    if len(head) < 34 or head[14] == 12:
        return
    width, height, _, compression = struct.unpack("<Ii4sI", head[18:])
    if compression not in (BmpImageFile.COMPRESSIONS[name] for name in ("RLE8", "RLE4")):
        return
    height = abs(height)
    if max(width, height) > MAX_RLE_SIDE or width * height > MAX_RLE_PIXELS:
        limit = f"{MAX_RLE_PIXELS // 10**6} million and {MAX_RLE_SIDE} a side"
        raise too_large(f"{width} x {height} run-length-coded pixels in a BMP", limit)
    # A run of one pixel has two bytes, and so has the end of a row.
    size, max_size = file.seek(0, os.SEEK_END), 2 * (width + 1) * height + SLACK_BYTES
    if size > max_size:
        raise too_large(f"{size} bytes of {width} x {height} run-length-coded pixels in a BMP", f"{max_size}")
