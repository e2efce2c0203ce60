"""GIF: guard and parser."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

from PIL.GifImagePlugin import GifImageFile

from showtell.core.image_guards import too_large

MAX_GIF_BLOCKS: Final = 16_384
"""Blocks before the first frame; each has up to 255 bytes. Pillow appends the pieces of a comment one by one, which is
quadratic."""
MAX_COMMENT_BYTES: Final = 1 << 18
"""Bytes of all comments before the first frame."""

open_gif: Final = GifImageFile


def check_gif(file: BinaryIO) -> None:
    """Up to the first frame, the only one that is decoded."""
    head = file.read(13)
    if len(head) == 13 and head[10] & 0x80:
        file.seek(3 << (head[10] & 7) + 1, os.SEEK_CUR)
    blocks = comments = 0
    while (mark := file.read(1)) not in (b"", b",", b";"):
        blocks += 1
        label = file.read(1) if mark == b"!" else b""
        while label and (size := file.read(1)) > b"\0":
            blocks += 1
            comments += size[0] if label == b"\xfe" else 0
            if blocks > MAX_GIF_BLOCKS or comments > MAX_COMMENT_BYTES:
                break
            file.seek(size[0], os.SEEK_CUR)
        if blocks > MAX_GIF_BLOCKS:
            raise too_large("a GIF with many blocks before its picture", f"{MAX_GIF_BLOCKS}")
        if comments > MAX_COMMENT_BYTES:
            raise too_large("a GIF with long comments", f"{MAX_COMMENT_BYTES >> 10} KiB of them")
