"""PNG: guard and parser.

Pillow is given only the chunks that pixels and orientation depend on. So a wrong checksum, a broken or a huge text or
colour profile in any other chunk costs nothing and loses no photo. Pillow does not look at the checksum of pixels: a
download that stopped, in a file that had been given its final size, would be a photo that ends in noise.

Rejected: Pillow's LOAD_TRUNCATED_IMAGES, a global that also accepts cut-off pixels; and changing its limits for texts,
which are globals as well.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from PIL.PngImagePlugin import PngImageFile

from showtell.core.image_exif import OrientationOnly
from showtell.core.image_guards import damaged, too_large, unsupported

MAX_CHUNKS: Final = 65_536
MAX_METADATA_BYTES: Final = 1 << 20
"""Bytes of a chunk, compressed or not, in which an orientation is looked for."""

_SIGNATURE_BYTES: Final = 8
_PIXEL_CHUNKS: Final = frozenset({b"IHDR", b"PLTE", b"IDAT"})
_TRANSPARENCY_BYTES: Final = {0: (2,), 2: (6,), 3: range(1, 257)}
"""By colour type; libpng, too, leaves out a tRNS of another size or with a wrong checksum."""
_XMP, _RAW_PROFILE = "XML:com.adobe.xmp", "Raw profile type exif"
_MAX_KEY_BYTES: Final = 80
_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
_BLOCK_BYTES: Final = 1 << 20


class Png(OrientationOnly, PngImageFile):
    """The default image; Pillow sees no chunk of an animation."""

    def __init__(self, file: BinaryIO) -> None:
        parts, metadata = _split(file)
        super().__init__(cast(BinaryIO, _Slices(file, parts)))
        self.info.update(metadata)


class _Slices(io.RawIOBase):
    """Parts of a file (start and size), and bytes, as one file."""

    def __init__(self, file: BinaryIO, parts: list[tuple[int, int] | bytes]) -> None:
        self._file, self._parts = file, parts
        self._starts = [0]
        for part in parts:
            self._starts.append(self._starts[-1] + (len(part) if isinstance(part, bytes) else part[1]))
        self._at = self._index = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        self._at = base + offset
        if self._index == len(self._parts) or self._at < self._starts[self._index]:
            self._index = 0
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._starts[-1] if size is None or size < 0 else min(self._at + size, self._starts[-1])
        pieces = []
        while self._at < end:
            while self._starts[self._index + 1] <= self._at:
                self._index += 1
            part, inside = self._parts[self._index], self._at - self._starts[self._index]
            count = min(end, self._starts[self._index + 1]) - self._at
            if isinstance(part, bytes):
                piece = part[inside : inside + count]
            else:
                self._file.seek(part[0] + inside)
                piece = self._file.read(count)
            if not piece:
                break
            self._at += len(piece)
            pieces.append(piece)
        return b"".join(pieces)


def check_png(file: BinaryIO) -> None:
    file.seek(_SIGNATURE_BYTES)
    for count, (name, _, size) in enumerate(_chunks(file)):
        if count >= MAX_CHUNKS:
            raise too_large("a PNG in small pieces", f"{MAX_CHUNKS} chunks")
        if name == b"CgBI":
            raise unsupported("a PNG of Apple's own kind (CgBI)", "PNG; convert it with Xcode's pngcrush")
        if name == b"IHDR" and size != 13:
            raise damaged(f"PNG, damaged: found a header of {size} bytes; expected 13")


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, start (of its length) and size of the content of each chunk before the end; the file may be moved."""
    offset = _SIGNATURE_BYTES
    while True:
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        size = int.from_bytes(head[:4], "big")
        yield head[4:], offset, size
        offset += size + 12


def _split(file: BinaryIO) -> tuple[list[tuple[int, int] | bytes], dict[str, str | bytes]]:
    """The parts that Pillow is given (chunks that lie side by side are one), and what may hold an orientation."""
    parts: list[tuple[int, int] | bytes] = [(0, _SIGNATURE_BYTES)]
    metadata: dict[str, str | bytes] = {}
    end = file.seek(0, os.SEEK_END)
    is_whole = False
    file.seek(_SIGNATURE_BYTES + 17)
    colour_type = int.from_bytes(file.read(1), "big")
    for name, start, size in _chunks(file):
        is_whole = start + size + 12 <= end
        if name == b"IDAT" and is_whole:
            _check_pixels(file, size)
        if name in _PIXEL_CHUNKS or (name == b"tRNS" and _is_sound(file, size, colour_type)):
            last = parts[-1]
            if isinstance(last, tuple) and sum(last) == start:
                parts[-1] = (last[0], last[1] + size + 12)
            else:
                parts.append((start, size + 12))
        elif name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") and size <= MAX_METADATA_BYTES:
            content = file.read(size if name == b"eXIf" else min(size, _MAX_KEY_BYTES))
            key = content.partition(b"\0")[0].decode("latin-1")
            place = "exif" if name == b"eXIf" else {_XMP: "xmp", _RAW_PROFILE: _RAW_PROFILE}.get(key)
            if place == "exif":
                metadata.setdefault(place, content)
            elif place is not None and place not in metadata:  # the first one, for each may be costly
                metadata[place] = _text(name, content + file.read(size - len(content)))
    if is_whole:
        parts.append(_END)
    return parts, metadata


def _check_pixels(file: BinaryIO, size: int) -> None:
    """Raises BadImage where a whole IDAT, whose content begins here, has another checksum than its own."""
    checksum, left = zlib.crc32(b"IDAT"), size
    while left:
        block = file.read(min(left, _BLOCK_BYTES))
        if not block:
            return
        checksum, left = zlib.crc32(block, checksum), left - len(block)
    if checksum != int.from_bytes(file.read(4), "big"):
        raise damaged("PNG, damaged: its pixels have another checksum than their own")


def _is_sound(file: BinaryIO, size: int, colour_type: int) -> bool:
    if size not in _TRANSPARENCY_BYTES.get(colour_type, ()):
        return False
    content, checksum = file.read(size), file.read(4)
    return zlib.crc32(b"tRNS" + content) == int.from_bytes(checksum, "big")


def _text(name: bytes, content: bytes) -> str:
    """The text of a chunk; what is broken or above the limit is left out."""
    _, _, value = content.partition(b"\0")
    is_compressed = name == b"zTXt"
    if name == b"iTXt":
        is_compressed = value[:1] == b"\1"
        value = value[2:].split(b"\0", 2)[-1]
    elif is_compressed:
        value = value[1:]
    if is_compressed:
        try:
            value = zlib.decompressobj().decompress(value, MAX_METADATA_BYTES)
        except zlib.error:
            return ""
    return value.decode("utf-8", "replace")
