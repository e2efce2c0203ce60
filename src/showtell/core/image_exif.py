"""The orientation of a photo, which is all that is read from EXIF and XMP.

Pillow would copy every value of the EXIF directories, also where thousands of them point to the same bytes. So a costly
EXIF block is ignored, and its photo accepted.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from PIL import Image, ImageFile

EXIF_ORIENTATION: Final = 0x0112
_TIFF_PREFIXES: Final = (b"MM\0*", b"II*\0", b"MM*\0", b"II\0*", b"MM\0+", b"II+\0")
"""Byte order and version, also of programs that mix them up; the last two are BigTIFF's. As Pillow's list, which is in
its parser of TIFF files: that takes longer to import than a photo to decode."""


class OrientationOnly(ImageFile.ImageFile):
    """Reads only the orientation from EXIF; Pillow would copy every value of its directories for the resolution."""

    def getexif(self) -> Image.Exif:
        exif = Image.Exif()
        orientation = self._exif_orientation() or self._xmp_orientation()
        if orientation is not None:
            exif[EXIF_ORIENTATION] = orientation
        return exif

    def _exif_orientation(self) -> int | None:
        block = self.info.get("exif")
        text = self.info.get("Raw profile type exif")
        if block is None and isinstance(text, str):  # ImageMagick's, in a PNG: name and length, then hexadecimal digits
            try:
                block = bytes.fromhex(text.split("\n", 3)[-1])
            except ValueError:
                return None
        return exif_orientation(block) if isinstance(block, bytes) else None

    def _xmp_orientation(self) -> int | None:
        xmp = self.info.get("xmp") or self.info.get("XML:com.adobe.xmp")
        if isinstance(xmp, str):
            xmp = xmp.encode("utf-8", "replace")
        match = re.search(rb'tiff:Orientation(="|>)([0-9])', xmp) if isinstance(xmp, bytes) else None
        return int(match[2]) if match else None


def exif_orientation(block: bytes) -> int | None:
    """The orientation in the first directory of an EXIF block; None when it has none or is broken."""
    offset = 0
    while block.startswith(b"Exif\0\0", offset):
        offset += 6
    if block[offset : offset + 4] not in _TIFF_PREFIXES:
        return None
    order = "<" if block[offset : offset + 2] == b"II" else ">"
    try:
        directory = offset + struct.unpack_from(order + "L", block, offset + 4)[0]
        entries = struct.unpack_from(order + "H", block, directory)[0]
    except struct.error:
        return None
    listed = block[directory + 2 : directory + 2 + 12 * entries]
    for tag, kind, count, value in struct.iter_unpack(order + "HHL4s", listed[: len(listed) // 12 * 12]):
        letter = {3: "H", 4: "L"}.get(kind)
        if tag == EXIF_ORIENTATION and letter and count == 1:
            return int(struct.unpack_from(order + letter, value)[0])
    return None
