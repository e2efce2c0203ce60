"""Guards against files that cost far more than their bytes and pixels, checked before Pillow parses them.

Pillow keeps all metadata, and some of it more than once: it copies the value of every entry of a TIFF directory, also
where thousands of them point to the same bytes; it appends the pieces of a comment one by one, which is quadratic; it
inflates each text of a PNG. So a file of 300 KB can take 2 GB, and one of 4 MB a minute.

Each check walks over the segments, chunks, blocks or directory entries of a file without reading their content, and
raises BadImage `too_large` when it would cost far more than its size. The limits are far above what cameras and
programs write. A truncated or broken file passes: the decoder reports it.

Rejected: decoding in a child process with limits. It would stop every such file, but pixels would be copied between
processes, memory limits exist on Unix only, and a library that starts processes needs `if __name__ == "__main__"` in
every script that calls it.
"""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO, Final

from PIL import BmpImagePlugin

from showtell.errors import BadImage

MAX_SCANS: Final = 200
"""Scans of a JPEG: each goes over all pixels and may take few bytes. A progressive photo has about ten; a hundred
thousand keep a thread busy for an hour."""
MAX_SCAN_PIXELS: Final = 2_000_000_000
"""Pixels of a JPEG times its scans: a thread does about 600 million in a second."""
MAX_CHUNKS: Final = 65_536
"""Chunks of a PNG; also bytes of padding between the segments of a JPEG."""
MAX_GIF_BLOCKS: Final = 16_384
"""Blocks of a GIF before its first frame; each has up to 255 bytes."""
MAX_SEGMENTS: Final = 4096
"""Segments of a JPEG before its first scan, of up to 64 KB each."""
MAX_EXIF_BYTES: Final = 1 << 20
"""Bytes of all EXIF segments of a JPEG together (one, of 64 KB at most, is usual)."""
MAX_COMMENT_BYTES: Final = 1 << 18
"""Bytes of all comments of a GIF before its first frame."""
MAX_COMPRESSED_CHUNKS: Final = 32
"""Compressed texts and colour profiles of a PNG; Pillow inflates each to 1 MB at most."""
MAX_TIFF_ENTRIES: Final = 1000
"""Entries of a TIFF directory."""
MAX_TIFF_VALUES: Final = 3 * 65_536
"""Values of one TIFF entry that Pillow unpacks to numbers, such as the strip offsets. The longest in the standard are
the transfer functions of three channels of 16 bits."""
MAX_RLE_PIXELS: Final = 9_000_000
MAX_RLE_SIDE: Final = 16_384
"""Limits of a run-length-coded BMP, which Pillow decodes in Python. Real ones have 256 colours: old screenshots and
scanned pages (A4 at 300 dpi is 8.7 million pixels)."""

_SLACK_BYTES: Final = 1 << 16
_START_OF_SCAN: Final = b"\xff\xda"
_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xDE}
"""JPEG markers (SOF) whose segment has the size of the image."""
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker within the data of a scan, other than a stuffed byte, a restart or a fill byte."""
_END_OF_IMAGE, _START_OF_SCAN_CODE = 0xD9, 0xDA
_MARKERS_WITHOUT_DATA: Final = frozenset({0x00, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
_TIFF_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""Bytes of one value of each TIFF type."""
_TIFF_BYTES: Final = frozenset({1, 2, 7})
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323
_STRIPS, _COLOURS, _TILES, _PROFILE = 273, 320, 324, 34675
_PRIVATE: Final = 0x8000
"""Private TIFF tags: Pillow keeps them as bytes, except for the colour profile."""
_TILE_PIXELS: Final = 4_000_000


def _too_large(found: str, expected: str) -> BadImage:
    return BadImage("too_large", f"found {found}; expected at most {expected}")


def check_jpeg(file: BinaryIO) -> None:
    data = file.read()
    segments = padding = exif_bytes = pixels = 0
    offset = 2
    while offset + 4 <= len(data) and (mark := data[offset : offset + 2]) != _START_OF_SCAN:
        if mark[0] != 0xFF or mark[1] == 0xFF or mark[1] in _MARKERS_WITHOUT_DATA:
            padding += 1
            if padding > MAX_CHUNKS:
                raise _too_large("a JPEG padded between its segments", f"{MAX_CHUNKS} bytes of that")
            offset += 1 if mark[0] != 0xFF or mark[1] == 0xFF else 2
            continue
        segments += 1
        if segments > MAX_SEGMENTS:
            raise _too_large("a JPEG of many segments before its picture", f"{MAX_SEGMENTS}")
        size = max(int.from_bytes(data[offset + 2 : offset + 4], "big"), 2)
        if mark[1] == 0xE1 and data.startswith(b"Exif\0\0", offset + 4):
            exif_bytes += size
            if exif_bytes > MAX_EXIF_BYTES:
                raise _too_large("a JPEG with much EXIF", f"{MAX_EXIF_BYTES >> 20} MiB of it")
        elif mark[1] in _START_OF_FRAME:
            if size > 8 + 3 * 255:
                raise _too_large(f"{size} bytes for the components of a JPEG", f"{8 + 3 * 255}")
            height, width = data[offset + 5 : offset + 7], data[offset + 7 : offset + 9]
            pixels = max(pixels, int.from_bytes(height, "big") * int.from_bytes(width, "big"))
        offset += 2 + size
    limit = min(MAX_SCANS, max(MAX_SCAN_PIXELS // max(pixels, 1), 1))
    # The quick count is often enough: in the picture's own data the marker cannot occur. By chance it does, once in
    # 64 KB, in what else there is, such as the film behind the picture of a phone.
    if data.count(_START_OF_SCAN) > limit and _count_scans(data, limit + 1) > limit:
        raise _too_large(f"more scans in a JPEG of {pixels} pixels than a photo has", f"{limit}")


def _count_scans(data: bytes, limit: int) -> int:
    """Scans before the end of the image; at most `limit`, which more than MAX_SEGMENTS segments give as well."""
    scans = segments = 0
    offset = 2
    while scans < limit and (match := _MARKER.search(data, offset)):
        offset = match.end()
        code = data[offset - 1]
        if code == _END_OF_IMAGE:
            break
        scans += code == _START_OF_SCAN_CODE
        segments += 1
        if segments > MAX_SEGMENTS:
            return limit
        offset += 0 if code in _MARKERS_WITHOUT_DATA else int.from_bytes(data[offset : offset + 2], "big")
    return scans


def check_png(file: BinaryIO) -> None:
    file.seek(8)
    chunks = compressed = 0
    while len(head := file.read(8)) == 8:
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        if name == b"IEND":
            return
        chunks += 1
        # In an iTXt a flag behind the key, which has at most 79 letters, says whether the text is compressed.
        start = file.read(min(size, 81)) if name == b"iTXt" else b""
        compressed += name in (b"iCCP", b"zTXt") or start.partition(b"\0")[2][:1] == b"\1"
        if chunks > MAX_CHUNKS:
            raise _too_large("a PNG in small pieces", f"{MAX_CHUNKS} chunks")
        if compressed > MAX_COMPRESSED_CHUNKS:
            raise _too_large("a PNG with many compressed texts or colour profiles", f"{MAX_COMPRESSED_CHUNKS} of them")
        if name == b"cHRM" and size > _SLACK_BYTES:
            raise _too_large(f"a PNG with {size} bytes of chromaticities", "32 bytes")
        file.seek(size - len(start) + 4, os.SEEK_CUR)


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
            raise _too_large("a GIF with many blocks before its picture", f"{MAX_GIF_BLOCKS}")
        if comments > MAX_COMMENT_BYTES:
            raise _too_large("a GIF with long comments", f"{MAX_COMMENT_BYTES >> 10} KiB of them")


def check_bmp(file: BinaryIO) -> None:
    head = file.read(34)
    if len(head) < 34 or head[14] == 12:
        return
    width, height, _, compression = struct.unpack("<Ii4sI", head[18:])
    if compression not in (BmpImagePlugin.BmpImageFile.COMPRESSIONS[name] for name in ("RLE8", "RLE4")):
        return
    height = abs(height)
    if max(width, height) > MAX_RLE_SIDE or width * height > MAX_RLE_PIXELS:
        limit = f"{MAX_RLE_PIXELS // 10**6} million and {MAX_RLE_SIDE} a side"
        raise _too_large(f"{width} x {height} run-length-coded pixels in a BMP", limit)
    # A run of one pixel has two bytes, and so has the end of a row.
    size, max_size = file.seek(0, os.SEEK_END), 2 * (width + 1) * height + _SLACK_BYTES
    if size > max_size:
        raise _too_large(f"{size} bytes of {width} x {height} run-length-coded pixels in a BMP", f"{max_size}")


def check_tiff(file: BinaryIO) -> None:
    """The first directory: Pillow copies all of its values three times, and unpacks some to numbers."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    # As Pillow tells them apart: a big TIFF whose bytes are in the other order is no big one to it.
    big = head[2] == 43
    inline, number = (8, "Q") if big else (4, "L")
    file.seek(struct.unpack_from(order + number, head, inline)[0])
    entry = struct.Struct(f"{order}HH{number}{inline}s")
    entries = int.from_bytes(file.read(8 if big else 2), "little" if order == "<" else "big")
    listed = file.read(min(entries, MAX_TIFF_ENTRIES + 1) * entry.size)
    if len(listed) > MAX_TIFF_ENTRIES * entry.size:
        raise _too_large(f"{entries} entries in the directory of a TIFF", f"{MAX_TIFF_ENTRIES}")
    copied, sides = 0, dict.fromkeys((_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT), 0)
    for tag, kind, count, value in entry.iter_unpack(listed[: len(listed) // entry.size * entry.size]):
        size = count * _TIFF_SIZES.get(kind, 0)
        start = struct.unpack(order + number, value)[0] if size > inline else 0
        # What lies beyond the end is not read.
        available = min(size, max(length - start, 0))
        copied += available if size > inline else 0
        if count > MAX_TIFF_VALUES and available == size and _is_unpacked(tag, kind):
            raise _too_large(f"{count} numbers in one entry of a TIFF's directory", f"{MAX_TIFF_VALUES}")
        if tag in sides and count == 1 and size:
            if size > inline:
                file.seek(start)
                value = file.read(size)
            sides[tag] = max(sides[tag], int.from_bytes(value[:size], "little" if order == "<" else "big"))
    if copied > length + _SLACK_BYTES:
        raise _too_large(f"{copied} bytes of values in the directory of a TIFF", f"the {length} of the file")
    # A tile is decoded whole, however small the picture is.
    tile = sides[_TILE_WIDTH] * sides[_TILE_HEIGHT]
    limit = max(_TILE_PIXELS, 2 * sides[_WIDTH] * sides[_HEIGHT])
    if tile > limit:
        raise _too_large(f"tiles of {tile} pixels in a TIFF", f"{limit}")


def _is_unpacked(tag: int, kind: int) -> bool:
    return tag in (_STRIPS, _COLOURS, _TILES) or ((tag < _PRIVATE or tag == _PROFILE) and kind not in _TIFF_BYTES)
