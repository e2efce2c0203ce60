"""JPEG: guard and parser.

A file that lacks its end marker or its last bytes is decoded several times, with different bytes in the place of what
is missing. If that changes no pixel, nothing of the picture is missing; a few bytes may be the rest of its last block.

Rejected: Pillow's LOAD_TRUNCATED_IMAGES, a global that makes the missing part of any photo grey.
"""

from __future__ import annotations

import os
import random
import re
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO, Final

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from showtell.core.image_exif import OrientationOnly
from showtell.core.image_guards import too_large, unsupported

MAX_SCANS: Final = 200
"""Scans: each goes over all pixels and may take few bytes. A progressive photo has about ten; a hundred thousand keep a
thread busy for an hour."""
MAX_SCAN_PIXELS: Final = 2_000_000_000
"""Pixels times scans: a thread does about 600 million in a second."""
MAX_SEGMENTS: Final = 4096
"""Segments before the first scan, of up to 64 KB each."""
MAX_PADDING: Final = 65_536
"""Bytes of padding between the segments."""
MAX_EXIF_BYTES: Final = 1 << 20
"""Bytes of all EXIF segments together (one, of 64 KB at most, is usual)."""

MAX_BLOCK_SHARE: Final = 0.01
"""Part of a picture that may be missing at its end: a viewer shows a corner as grey, and a caption does not depend on
it."""

_START_OF_SCAN: Final = b"\xff\xda"
_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xDE, 0xF7}
"""Markers (SOF) whose segment has the size of the image."""
_UNDECODED_FRAMES: Final = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE), "a hierarchical JPEG"),
    0xF7: "JPEG-LS",
}
_LOSSLESS_FRAMES: Final = {0xC3: "a lossless JPEG", 0xCB: "a lossless JPEG with arithmetic coding"}
_PROGRESSIVE_FRAMES: Final = frozenset({0xC2, 0xCA})
_EXPECTED: Final = "a JPEG of 8 bits as cameras and programs write it; save it again as JPEG or PNG"
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker within the data of a scan, other than a stuffed byte, a restart or a fill byte."""
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN_CODE = 0xD8, 0xD9, 0xDA
_MARKERS_WITHOUT_DATA: Final = frozenset({0x00, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xF7), *range(0xF8, 0xFE)})
_COEFFICIENTS: Final = 64

_FILL_BYTES: Final = 4096
"""More than one row of blocks of a scan's unit takes, at 27 bits a coefficient."""
_FILLS: Final = (
    b"",
    *(random.Random(seed).randbytes(_FILL_BYTES).replace(b"\xff", b"\xfe") for seed in (1, 2)),
)
"""What is put in the place of missing data; behind an empty fill libjpeg takes zeros."""


class Jpeg(OrientationOnly, JpegImageFile):
    """The first image of a file, which is all of an MPO that is decoded."""

    _draft_size: tuple[int, int] | None = None

    def _open(self) -> None:
        super()._open()
        # libjpeg scans a run of fill bytes from its start again with each block of input. With Pillow's blocks of
        # 64 KB, a file of fill bytes would take seconds.
        self.decodermaxblock = 16 << 20
        self._full_pixels = self.width * self.height

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> Any:
        self._draft_size = size
        return super().draft(mode, size)

    @property
    def coefficient_bytes(self) -> int:
        """What libjpeg holds of a progressive file until its last scan, however small it is decoded; else 0."""
        if "progressive" not in self.info:
            return 0
        samples = sum(horizontal * vertical for _, horizontal, vertical, _ in self.layer)
        largest = max(layer[1] for layer in self.layer) * max(layer[2] for layer in self.layer)
        return 2 * self._full_pixels * samples // max(largest, 1)

    def load(self) -> Any:
        file = self.fp
        if file is None or not self.tile:
            return super().load()
        cut_at = _start_of_zeros(file)
        try:
            if cut_at is not None:
                raise OSError("the end of the file is empty")
            return super().load()
        except OSError as error:
            if error.errno is not None:
                raise
            whole = self._completed(file, cut_at)
            if whole is None:
                raise
        self.im, self.tile, self.fp = whole.im, [], None
        return Image.Image.load(self)

    def _completed(self, file: Any, cut_at: int | None) -> Image.Image | None:
        """The image, if all its pixels are in a file that ends too early."""
        file.seek(0)
        data = file.read()[:cut_at]
        end = _end_of_picture(data)
        if end is None:
            return None
        data = data[:end].rstrip(b"\xff")
        first: Image.Image | None = None
        for fill in _FILLS:
            image = Jpeg(BytesIO(data + fill + b"\xff\xd9"))
            if self._draft_size is not None:
                image.draft(None, self._draft_size)
            try:
                super(Jpeg, image).load()
            except OSError:
                return None
            if first is None:
                first = image
            elif not self._differ_in_one_block(first, image):
                return None
        return first

    def _differ_in_one_block(self, a: Image.Image, b: Image.Image) -> bool:
        """Whether they are equal but for one block (MCU), which is MAX_BLOCK_SHARE of them at most."""
        different = (np.asarray(a) != np.asarray(b)).reshape(a.height, a.width, -1).any(axis=2)
        if not different.any():
            return True
        scale = self.decoderconfig[0] if self.decoderconfig else 1
        # Colours are interpolated, so that a block reaches two pixels into its neighbours.
        width, height = (8 * max(layer[axis] for layer in self.layer) // scale + 4 for axis in (1, 2))
        rows, columns = (np.flatnonzero(different.any(axis=axis)) for axis in (1, 0))
        fits = np.ptp(rows) < height and np.ptp(columns) < width
        return bool(fits) and height * width <= MAX_BLOCK_SHARE * a.height * a.width


def check_jpeg(file: BinaryIO) -> None:
    data = file.read()
    padding = exif_bytes = pixels = segments = 0
    offset = 2
    while offset + 4 <= len(data) and (mark := data[offset : offset + 2]) != _START_OF_SCAN:
        if mark[0] != 0xFF or mark[1] == 0xFF or mark[1] in _MARKERS_WITHOUT_DATA:
            padding += 1
            if padding > MAX_PADDING:
                raise too_large("a JPEG padded between its segments", f"{MAX_PADDING} bytes of that")
            offset += 1 if mark[0] != 0xFF or mark[1] == 0xFF else 2
            continue
        segments += 1
        if segments > MAX_SEGMENTS:
            raise too_large("a JPEG of many segments before its picture", f"{MAX_SEGMENTS}")
        size = max(int.from_bytes(data[offset + 2 : offset + 4], "big"), 2)
        if mark[1] == 0xE1 and data.startswith(b"Exif\0\0", offset + 4):
            exif_bytes += size
            if exif_bytes > MAX_EXIF_BYTES:
                raise too_large("a JPEG with much EXIF", f"{MAX_EXIF_BYTES >> 20} MiB of it")
        elif mark[1] in _START_OF_FRAME:
            if size > 8 + 3 * 255:
                raise too_large(f"{size} bytes for the components of a JPEG", f"{8 + 3 * 255}")
            _check_frame(mark[1], data[offset + 4 : offset + 10])
            height, width = data[offset + 5 : offset + 7], data[offset + 7 : offset + 9]
            pixels = max(pixels, int.from_bytes(height, "big") * int.from_bytes(width, "big"))
        offset += 2 + size
    limit = min(MAX_SCANS, max(MAX_SCAN_PIXELS // max(pixels, 1), 1))
    # The quick count is often enough: in the picture's own data the marker cannot occur. By chance it does, once in
    # 64 KB, in what else there is, such as the film behind the picture of a phone.
    if data.count(_START_OF_SCAN) > limit and _count_scans(data, limit + 1) > limit:
        raise too_large(f"more scans in a JPEG of {pixels} pixels than a photo has", f"{limit}")


def _check_frame(code: int, header: bytes) -> None:
    """Raises BadImage `unsupported` for a kind that is not decoded. `header`: precision, sides, components."""
    if code in _UNDECODED_FRAMES:
        raise unsupported(_UNDECODED_FRAMES[code], _EXPECTED)
    if len(header) < 6:
        return
    if header[0] != 8:
        kind = _LOSSLESS_FRAMES.get(code, "a JPEG")
        raise unsupported(f"{kind} of {header[0]} bits", _EXPECTED)
    if code == 0xCB:
        raise unsupported(_LOSSLESS_FRAMES[code], _EXPECTED)
    if header[1:3] == b"\0\0":
        raise unsupported("a JPEG whose height comes after its picture (DNL)", _EXPECTED)
    if header[5] not in (1, 3, 4):
        raise unsupported(f"a JPEG of {header[5]} components", "1, 3 or 4")


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Code and position of each segment of a whole file, the scans' data stepped over; MAX_SEGMENTS at most."""
    offset = 2
    for _ in range(MAX_SEGMENTS):
        match = _MARKER.search(data, offset)
        if match is None:
            return
        offset = match.end()
        code = data[offset - 1]
        yield code, offset
        offset += 0 if code in _MARKERS_WITHOUT_DATA else int.from_bytes(data[offset : offset + 2], "big")


def _count_scans(data: bytes, limit: int) -> int:
    """Scans before the end of the image; at most `limit`, which MAX_SEGMENTS segments give as well."""
    scans = segments = 0
    for code, _ in _segments(data):
        segments += 1
        if code == _END_OF_IMAGE:
            return scans
        scans += code == _START_OF_SCAN_CODE
        if scans >= limit:
            return scans
    return limit if segments == MAX_SEGMENTS else scans


def _start_of_zeros(file: Any) -> int | None:
    """Where the zeros begin that fill a file whose picture has no end: an interrupted download."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 16, 0))
    tail = file.read()
    file.seek(0)
    if tail.strip(b"\0"):
        return None
    data = file.read().rstrip(b"\0")
    file.seek(0)
    in_scan = False
    for code, _ in _segments(data):
        in_scan = in_scan or code == _START_OF_SCAN_CODE
        if in_scan and code == _END_OF_IMAGE:
            return None
    return len(data)


def _end_of_picture(data: bytes) -> int | None:
    """Where the data of the last scan ends; None where scans are missing, so that pixels are."""
    # By component, the lowest bit known of each coefficient; a scan of a progressive file has a part of them.
    bits: dict[int, list[int]] = {}
    has_scans = False
    for code, at in _segments(data):
        if code in _START_OF_FRAME and not bits:
            bits = {component: [14] * _COEFFICIENTS for component in data[at + 8 : at + 8 + 3 * data[at + 7] : 3]}
        elif code == _START_OF_SCAN_CODE:
            has_scans = True
            count = data[at + 2] if at + 2 < len(data) else 0
            header = data[at + 3 : at + 6 + 2 * count]
            if len(header) < 2 * count + 3:
                return None
            first, last, approximation = struct.unpack_from("BBB", header, 2 * count)
            for component in header[: 2 * count : 2]:
                known = bits.setdefault(component, [14] * _COEFFICIENTS)
                known[first : last + 1] = [approximation & 15] * len(known[first : last + 1])
        elif code in (_END_OF_IMAGE, _START_OF_IMAGE) and has_scans:
            data = data[: at - 2]
            break
    return len(data) if has_scans and not any(map(any, bits.values())) else None
