"""TIFF: guard and parser.

Pillow reads many kinds of TIFF, and some of them wrongly: what is known to be so is mended here, or refused.
`tests/core/test_image_tiff.py` compares a grid of kinds with the values that they were written from.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache
from typing import Any, BinaryIO, Final, cast

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin, _imaging

from showtell.core.image_exif import EXIF_ORIENTATION, OrientationOnly
from showtell.core.image_grey import grey_to_8bit
from showtell.core.image_guards import SLACK_BYTES, damaged, too_large, unsupported

MAX_TIFF_ENTRIES: Final = 1000
"""Entries of a directory."""
MAX_TIFF_VALUES: Final = 3 * 65_536
"""Values of one entry that Pillow unpacks to numbers, such as the strip offsets. The longest in the standard are the
transfer functions of three channels of 16 bits."""

_TIFF_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""Bytes of one value of each type."""
_TIFF_BYTES: Final = frozenset({1, 2, 7})
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _STRIP_BYTES, _PLANES, _COLOURS = 273, 279, 284, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _SAMPLE_FORMAT = 322, 323, 324, 325, 339
_PROFILE, _DNG_VERSION = 34675, 50706
_PRIVATE: Final = 0x8000
"""Private tags: Pillow keeps them as bytes, except for the colour profile."""
_TILE_PIXELS: Final = 4_000_000

_COMPRESSIONS: Final = {
    9: "JBIG",
    10: "JBIG",
    34661: "JBIG",
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of a camera",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
"""Names for messages; what is decoded is up to Pillow and its libtiff."""
_EXPECTED: Final = "8 or 16 bits a sample, uncompressed or with LZW, Deflate, PackBits or JPEG; save it again so"
_NATIVE: Final = {"F;32BF": "F;32NF", "F;32F": "F;32NF", "I;32BS": "I;32NS", "I;32S": "I;32NS"} | {
    "I;16BS": "I;16NS",
    "I;16S": "I;16NS",
}
"""Pillow's raw modes to those of the byte order in which libtiff gives samples; Pillow forgets to."""
_SIGNED, _FLOAT = 2, 3
_WHITE_IS_ZERO: Final = 0
_SEPARATE_PLANES: Final = 2
_OTHER_UNCOMPRESSED: Final = 32771


class Tiff(OrientationOnly, TiffImagePlugin.TiffImageFile):
    """The first page, upright: Pillow turns a TIFF when it loads it."""

    def _exif_orientation(self) -> int | None:
        orientation = self.tag_v2.get(EXIF_ORIENTATION)
        return orientation if isinstance(orientation, int) else None

    def _setup(self) -> None:
        tags = self.tag_v2
        if _DNG_VERSION in tags:
            raise unsupported("a camera raw (DNG)", "a picture; export it as JPEG")
        compression = tags.get(_COMPRESSION, 1)
        if compression not in TiffImagePlugin.COMPRESSION_INFO or not _is_configured(compression):
            raise unsupported(f"a TIFF compressed with {_COMPRESSIONS.get(compression, compression)}", _EXPECTED)
        if _STRIPS not in tags and _TILES not in tags:
            raise damaged("TIFF, damaged or cut off: found no place of its pixels")
        bits, samples = tags.get(_BITS, (1,)), tags.get(_SAMPLE_FORMAT, (1,))
        is_separate = tags.get(_PLANES) == _SEPARATE_PLANES
        if is_separate and compression == 1 and bits[0] != 8:
            # Pillow would take the planes for 8 bits; it leaves all but uncompressed ones to libtiff.
            tags[_COMPRESSION] = _OTHER_UNCOMPRESSED
        colours = tags.get(_COLOURS, ())
        if colours and max(colours) < 256:  # of 8 bits, as some programs write them; Pillow would make them black
            tags[_COLOURS] = tuple(257 * colour for colour in colours)
        try:
            super()._setup()
        except IndexError as error:
            raise unsupported("a TIFF of more separate planes than colours", _EXPECTED) from error
        if samples[0] == _SIGNED and bits[0] < 16:
            raise unsupported("a TIFF of signed numbers of 8 bits", _EXPECTED)
        if is_separate and len(self.getbands()) > 1 and self.mode not in ("RGB", "RGBA", "CMYK", "LAB"):
            # The second plane would be green.
            raise unsupported("a TIFF of grey or a palette with alpha in separate planes", _EXPECTED)
        if self.use_load_libtiff:
            kind, extents, offset, args = self.tile[0]
            raw_mode, *rest = cast(tuple[Any, ...], args)
            self.tile = [ImageFile._Tile(kind, extents, offset, (_NATIVE.get(raw_mode, raw_mode), *rest))]

    def load(self) -> Any:
        _silence_libtiff()
        if not self.tile:
            return super().load()
        super().load()
        if self.mode in ("I", "F") or self.mode.startswith("I;16"):
            grey = self._grey()
            self.im, self._mode = grey.im, "L"
        return Image.Image.load(self)

    def _grey(self) -> Image.Image:
        """Numbers of 12, 16 or 32 bits scaled, which Pillow's mode does not tell apart."""
        tags = self.tag_v2
        bits, kind = tags.get(_BITS, (1,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0]
        values = np.array(self)
        if bits == 32 and kind not in (_SIGNED, _FLOAT):
            values = values.view(np.uint32)
        white = {12: 4095, 16: 32767 if kind == _SIGNED else 65535}.get(bits)
        return grey_to_8bit(values, white, is_inverted=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


@cache
def _libtiff() -> ctypes.CDLL | None:
    """The libtiff that Pillow is linked to; None where it cannot be reached (Windows)."""
    try:
        library = ctypes.CDLL(_imaging.__file__)
        return library if hasattr(library, "TIFFSetErrorHandler") else None
    except (OSError, AttributeError):
        return None


@cache
def _silence_libtiff() -> None:
    """libtiff writes messages to the process's stderr, of what Pillow raises or is of no concern.

    Rejected: to redirect the file descriptor while decoding, which would lose what other threads write meanwhile.
    """
    library = _libtiff()
    if library is not None:
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            setter = getattr(library, name)
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)


def _is_configured(compression: int) -> bool:
    """Whether this libtiff can decode it; some codecs are optional."""
    library = _libtiff()
    if library is None:
        return compression not in _COMPRESSIONS
    return compression in (1, _OTHER_UNCOMPRESSED) or bool(library.TIFFIsCODECConfigured(ctypes.c_uint16(compression)))


def check_tiff(file: BinaryIO) -> None:
    """The first directory: Pillow copies all of its values three times, and unpacks some to numbers."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    if head[:4] == b"MM\0+":
        raise unsupported("a big TIFF with the highest bytes first", "the lowest bytes first; save it again so")
    big = head[2] == 43
    inline, number = (8, "Q") if big else (4, "L")
    file.seek(struct.unpack_from(order + number, head, inline)[0])
    entry = struct.Struct(f"{order}HH{number}{inline}s")
    entries = int.from_bytes(file.read(8 if big else 2), "little" if order == "<" else "big")
    listed = file.read(min(entries, MAX_TIFF_ENTRIES + 1) * entry.size)
    if len(listed) < min(entries, MAX_TIFF_ENTRIES + 1) * entry.size:
        raise damaged("TIFF, damaged or cut off: its directory is not complete")
    if len(listed) > MAX_TIFF_ENTRIES * entry.size:
        raise too_large(f"{entries} entries in the directory of a TIFF", f"{MAX_TIFF_ENTRIES}")
    copied, sides = 0, dict.fromkeys((_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT), 0)
    for tag, kind, count, value in entry.iter_unpack(listed[: len(listed) // entry.size * entry.size]):
        size = count * _TIFF_SIZES.get(kind, 0)
        start = struct.unpack(order + number, value)[0] if size > inline else 0
        if start + size > length and tag in (_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, _BITS):
            raise damaged(f"TIFF, damaged or cut off: entry {tag} lies behind the end")
        # Other values that lie beyond the end are not read.
        available = min(size, max(length - start, 0))
        copied += available if size > inline else 0
        if count > MAX_TIFF_VALUES and available == size and _is_unpacked(tag, kind):
            raise too_large(f"{count} numbers in one entry of a TIFF's directory", f"{MAX_TIFF_VALUES}")
        if tag in sides and count == 1 and size:
            if size > inline:
                file.seek(start)
                value = file.read(size)
            sides[tag] = max(sides[tag], int.from_bytes(value[:size], "little" if order == "<" else "big"))
    if copied > length + SLACK_BYTES:
        raise too_large(f"{copied} bytes of values in the directory of a TIFF", f"the {length} of the file")
    # A tile is decoded whole, however small the picture is.
    tile = sides[_TILE_WIDTH] * sides[_TILE_HEIGHT]
    limit = max(_TILE_PIXELS, 2 * sides[_WIDTH] * sides[_HEIGHT])
    if tile > limit:
        raise too_large(f"tiles of {tile} pixels in a TIFF", f"{limit}")


def _is_unpacked(tag: int, kind: int) -> bool:
    return tag in (_STRIPS, _COLOURS, _TILES) or ((tag < _PRIVATE or tag == _PROFILE) and kind not in _TIFF_BYTES)
