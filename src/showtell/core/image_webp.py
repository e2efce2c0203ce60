"""WebP: its container is mended before Pillow parses it.

libwebp decodes nothing of a file whose size is not what its header says, as with a streamed one (0), or one whose
metadata at the end are cut off. The picture's own chunk is not touched: if that is cut off, libwebp reports it.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO, Final

from PIL.WebPImagePlugin import WebPImageFile

from showtell.core.image_exif import OrientationOnly

_HEAD_BYTES: Final = 12
_METADATA_FLAGS: Final = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}
"""Chunks without pixels, and the bit in the header of an extended file (VP8X) that announces each."""
_MAX_CHUNKS: Final = 65_536


class WebP(OrientationOnly, WebPImageFile):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(_mended(file))


def _mended(file: BinaryIO) -> BinaryIO:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEAD_BYTES + 8)
    file.seek(0)
    end_of_file, end_of_first_chunk = (
        8 + int.from_bytes(head[4:8], "little"),
        20 + int.from_bytes(head[16:20], "little"),
    )
    if size >= end_of_file >= end_of_first_chunk:
        return file
    data = file.read()
    kept, names = bytearray(data[:_HEAD_BYTES]), set()
    offset = _HEAD_BYTES
    for _ in range(_MAX_CHUNKS):
        name, length = data[offset : offset + 4], int.from_bytes(data[offset + 4 : offset + 8], "little")
        end = offset + 8 + length
        if offset + 8 > size or (end > size and name in _METADATA_FLAGS):
            break
        kept += data[offset:end] + bytes(length & 1 if end <= size else 0)
        names.add(name)
        offset = end + (length & 1)
        if offset >= size:
            break
    if kept[12:16] == b"VP8X" and len(kept) > 20:
        for name, flag in _METADATA_FLAGS.items():
            if name not in names:
                kept[20] &= ~flag
    kept[4:8] = (len(kept) - 8).to_bytes(4, "little")
    return io.BytesIO(kept)
