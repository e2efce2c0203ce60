"""The container of AVIF and HEIC (ISO base media file format): guard, and what decoding its primary image costs.

Boxes are nested; the one called `meta` lists items (coded pictures, grids of them, metadata), where their bytes are,
and their properties. libavif and libheif trust less of it than Pillow's parsers do, but decode a picture of any size
that its codec's header says, whatever the container says.

Rejected: to trust `ispe`, the size that the container declares: a file of 1 KB that declares 64 x 64 pixels may hold
16384 x 16384 of one colour.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from showtell.core.image_codecs import av1_pixels, hevc_pixels
from showtell.core.image_guards import SLACK_BYTES, damaged, too_large, unsupported

MAX_BOXES: Final = 16_384
MAX_NESTING: Final = 8
MAX_ITEMS: Final = 2048
"""Items of a file; 200 megapixels in tiles of 512 x 512 are 800."""
MAX_EXTENTS: Final = 8192
MAX_META_BYTES: Final = 16 << 20
_SMALL_PIXELS: Final = 4_000_000
_ZEROS: Final = 16
MAX_DERIVATIONS: Final = 4
"""Pictures made of pictures, such as a grid, in each other."""

_CONTAINERS: Final = frozenset(
    {b"iprp", b"ipco", b"dinf", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta"}
)
_DERIVED: Final = frozenset({b"grid", b"iovl", b"iden", b"tmap"})
_CODED: Final = {b"av01": av1_pixels, b"hvc1": hevc_pixels, b"hev1": hevc_pixels}
_CODEC_NAMES: Final = {
    b"avc1": "AVC (H.264)",
    b"vvc1": "VVC (H.266)",
    b"jpeg": "JPEG",
    b"j2k1": "JPEG 2000",
    b"unci": "uncompressed pixels",
    b"evc1": "EVC",
}


@dataclass
class Meta:
    """What the `meta` box says of the items, by their numbers."""

    primary: int | None = None
    types: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Position in the file and size of each part of an item."""
    properties: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    """Type and content of each."""
    made_of: dict[int, list[int]] = field(default_factory=dict)
    auxiliaries: dict[int, list[int]] = field(default_factory=dict)
    """Alpha and other pictures of an item."""


def check_bmff(file: BinaryIO) -> None:
    read_meta(file)


def read_meta(file: BinaryIO) -> Meta:
    """Raises BadImage: `too_large` above a limit, `truncated` where boxes do not fit, `unsupported` for a film."""
    end = file.seek(0, os.SEEK_END)
    boxes = _Boxes(file)
    meta, is_film = None, False
    for kind, start, stop in boxes.walk(0, end, 0):
        is_film = is_film or kind == b"moov"
        if kind == b"meta" and meta is None:
            if stop - start > MAX_META_BYTES:
                raise too_large("a list of pictures in an AVIF or HEIC", f"{MAX_META_BYTES >> 20} MiB")
            meta = _parse_meta(boxes, start, stop)
        elif kind in _CONTAINERS:
            boxes.count_all(start, stop, 1)
    if (meta is None or meta.primary is None) and not is_film:
        raise damaged("AVIF or HEIC, damaged or cut off: its list of pictures is missing")
    if meta is None or meta.primary is None:
        raise unsupported("a film of the AVIF or HEIC family", "a still picture")
    total = sum(min(size, max(end - at, 0)) for extents in meta.extents.values() for at, size in extents)
    if total > 2 * end + SLACK_BYTES:
        raise too_large(f"{total} bytes of overlapping items in a file of {end}", f"{2 * end + SLACK_BYTES}")
    return meta


def coded_pixels(file: BinaryIO, meta: Meta) -> int:
    """Pixels that the codec decodes for the primary image, or for its alpha if that is larger.

    Raises BadImage: `unsupported` for another codec, `too_large` when they are far more than the container says.
    """
    assert meta.primary is not None
    costs = _Costs(file, meta)
    alphas = [item for item in meta.auxiliaries.get(meta.primary, ()) if _is_alpha(meta, item)]
    pixels = max(costs.of(item, 0) for item in (meta.primary, *alphas))
    check_coded_pixels(pixels, _declared_pixels(meta, meta.primary))
    return pixels


def check_coded_pixels(coded: int, shown: int) -> None:
    """Raises BadImage `too_large` when far more pixels are decoded than shown; a crop may be the reason."""
    limit = max(_SMALL_PIXELS, 2 * shown)
    if coded > limit:
        raise too_large(f"{coded} coded pixels for {shown} of an AVIF or HEIC", f"{limit}")


class _Costs:
    """Pixels that are decoded for an item; each is worked out once, however often it is named."""

    def __init__(self, file: BinaryIO, meta: Meta) -> None:
        self._file, self._meta = file, meta
        self._end = file.seek(0, os.SEEK_END)
        self._known: dict[int, int] = {}

    def of(self, item: int, depth: int) -> int:
        if item not in self._known:
            self._known[item] = self._work_out(item, depth)
        return self._known[item]

    def _work_out(self, item: int, depth: int) -> int:
        meta, kind = self._meta, self._meta.types.get(item, b"")
        if depth > MAX_DERIVATIONS:
            raise too_large("pictures made of pictures in an AVIF or HEIC", f"{MAX_DERIVATIONS} in each other")
        if kind in _DERIVED:
            pixels = sum(self.of(part, depth + 1) for part in meta.made_of.get(item, ()))
        elif kind in _CODED:
            # libheif would show what there is of the picture.
            if any(start + size > self._end for start, size in meta.extents.get(item, ())):
                raise damaged("AVIF or HEIC, cut off: a part of its picture lies behind the end")
            if self._ends_in_zeros(item):
                raise damaged("AVIF or HEIC, damaged: zeros are in the place of its end")
            pixels = _CODED[kind](self._file, meta.properties.get(item, []), meta.extents.get(item, []))
        else:
            name = _CODEC_NAMES.get(kind, kind.decode("latin-1") or "nothing")
            raise unsupported(f"an AVIF or HEIC that holds {name}", "AV1 or HEVC (H.265)")
        return max(pixels, _declared_pixels(meta, item))

    def _ends_in_zeros(self, item: int) -> bool:
        """As interrupted downloads do. Neither AV1 nor HEVC ends so, and decoders show something for them."""
        start, size = next(reversed(self._meta.extents.get(item, ())), (0, 0))
        self._file.seek(start + max(size - _ZEROS, 0))
        return size >= _ZEROS and not any(self._file.read(_ZEROS))


def _is_alpha(meta: Meta, item: int) -> bool:
    return any(kind == b"auxC" and (b"alpha" in c or b"auxid:1" in c) for kind, c in meta.properties.get(item, ()))


def _declared_pixels(meta: Meta, item: int) -> int:
    sizes = (content[4:12] for kind, content in meta.properties.get(item, ()) if kind == b"ispe")
    return max((width * height for width, height in (struct.unpack(">LL", s) for s in sizes if len(s) == 8)), default=0)


class _Boxes:
    """Walks over boxes, and counts them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.count = file, 0

    def walk(self, start: int, end: int, depth: int) -> Iterator[tuple[bytes, int, int]]:
        """Type, start and end of the content of each box side by side; the file may be moved."""
        if depth > MAX_NESTING:
            raise too_large("boxes in boxes in an AVIF or HEIC", f"{MAX_NESTING} in each other")
        while start + 8 <= end:
            self.count += 1
            if self.count > MAX_BOXES:
                raise too_large("an AVIF or HEIC in small boxes", f"{MAX_BOXES}")
            self.file.seek(start)
            head = self.file.read(16)
            size, kind = struct.unpack_from(">L4s", head)
            content = start + 8
            if size == 1 and len(head) == 16:
                size, content = struct.unpack_from(">Q", head, 8)[0], start + 16
            stop = end if size == 0 else start + size
            if stop < content or (stop > end and depth):
                raise damaged(f"AVIF or HEIC, damaged: a box {kind!r} of {size} bytes does not fit")
            yield kind, content, min(stop, end)
            start = stop

    def count_all(self, start: int, end: int, depth: int) -> None:
        for kind, inner, stop in self.walk(start, end, depth):
            if kind in _CONTAINERS:
                self.count_all(inner, stop, depth + 1)

    def content(self, start: int, stop: int) -> bytes:
        self.file.seek(start)
        return self.file.read(stop - start)


def _parse_meta(boxes: _Boxes, start: int, stop: int) -> Meta:
    meta = Meta()
    stored: list[tuple[bytes, bytes]] = []
    associations: list[bytes] = []
    locations, data_at = b"", 0
    for kind, inner, end in boxes.walk(start + 4, stop, 1):
        if kind == b"pitm":
            version, number = boxes.content(inner, inner + 1), boxes.content(inner + 4, end)
            meta.primary = int.from_bytes(number[: 4 if version > b"\0" else 2], "big")
        elif kind == b"iinf":
            skip = 6 if boxes.content(inner, inner + 1) == b"\0" else 8
            for _, entry, last in boxes.walk(inner + skip, end, 2):
                _parse_item(meta, boxes.content(entry, min(last, entry + 16)))
        elif kind == b"iloc":
            locations = boxes.content(inner, end)
        elif kind == b"idat":
            data_at = inner
        elif kind == b"iref":
            wide = boxes.content(inner, inner + 1) > b"\0"
            for name, entry, last in boxes.walk(inner + 4, end, 2):
                _parse_reference(meta, name, boxes.content(entry, last), "L" if wide else "H")
        elif kind == b"iprp":
            for name, entry, last in boxes.walk(inner, end, 2):
                if name == b"ipco":
                    properties = boxes.walk(entry, last, 3)
                    stored += [(prop, boxes.content(at, until)) for prop, at, until in properties]
                elif name == b"ipma":
                    associations.append(boxes.content(entry, last))
    for association in associations:
        _parse_associations(meta, association, stored)
    _parse_locations(meta, locations, data_at)
    return meta


def _parse_item(meta: Meta, entry: bytes) -> None:
    width = {2: 2, 3: 4}.get(entry[0])
    if width is not None:
        number, kind = int.from_bytes(entry[4 : 4 + width], "big"), entry[6 + width : 10 + width]
        meta.types[number] = kind
    if len(meta.types) > MAX_ITEMS:
        raise too_large("items in an AVIF or HEIC", f"{MAX_ITEMS}")


def _parse_reference(meta: Meta, name: bytes, entry: bytes, letter: str) -> None:
    size = struct.calcsize(letter)
    count = int.from_bytes(entry[size : size + 2], "big")
    if count > MAX_ITEMS:
        raise too_large("tiles of a picture in an AVIF or HEIC", f"{MAX_ITEMS}")
    source, *targets = struct.unpack_from(f">{letter}", entry) + struct.unpack_from(
        f">{count}{letter}", entry, size + 2
    )
    if name == b"dimg":
        meta.made_of.setdefault(source, []).extend(targets)
    elif name == b"auxl":
        for target in targets:
            meta.auxiliaries.setdefault(target, []).append(source)


def _parse_associations(meta: Meta, box: bytes, stored: list[tuple[bytes, bytes]]) -> None:
    letter, index_size = ("L" if box[0] else "H"), (2 if box[3] & 1 else 1)
    (count,) = struct.unpack_from(">L", box, 4)
    offset = 8
    for _ in range(min(count, MAX_BOXES)):
        number, indices = struct.unpack_from(f">{letter}B", box, offset)
        offset += struct.calcsize(f">{letter}B")
        for at in range(offset, offset + indices * index_size, index_size):
            index = int.from_bytes(box[at : at + index_size], "big") & (0x7F if index_size == 1 else 0x7FFF)
            if 0 < index <= len(stored):
                meta.properties.setdefault(number, []).append(stored[index - 1])
        offset += indices * index_size


def _parse_locations(meta: Meta, box: bytes, data_at: int) -> None:
    if not box:
        return
    version = box[0]
    offset_size, length_size, base_size, index_size = box[4] >> 4, box[4] & 15, box[5] >> 4, box[5] & 15
    number_size = 4 if version == 2 else 2
    at, extents_in_all = 6, 0

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > len(box):
            raise damaged("AVIF or HEIC, damaged: its list of places is not complete")
        return int.from_bytes(box[at - size : at], "big")

    for _ in range(number(number_size)):
        item = number(number_size)
        method = number(2) & 15 if version else 0
        number(2)  # data reference
        base = number(base_size)
        for _ in range(number(2)):
            extents_in_all += 1
            if extents_in_all > MAX_EXTENTS:
                raise too_large("parts of items in an AVIF or HEIC", f"{MAX_EXTENTS}")
            number(index_size if version else 0)
            offset, length = number(offset_size), number(length_size)
            # Method 1: within `idat`; 2, within another item, is not followed.
            start = base + offset + (data_at if method == 1 else 0)
            meta.extents.setdefault(item, []).append((start, length))
