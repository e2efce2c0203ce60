"""The size of a picture in the headers of AV1 and HEVC, as far as a guard needs them: the codec decodes that size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from showtell.core.image_guards import too_large
from showtell.errors import BadImage

MAX_UNITS: Final = 512
"""Units (OBU, NAL) of one picture; a still one has a handful, and some more where it is coded in tiles or slices."""
_HEADER_BYTES: Final = 1024
_AV1_SEQUENCE_HEADER: Final = 1
_HEVC_SEQUENCE_PARAMETERS: Final = 33


class _Bits:
    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self.left:
            raise ValueError("a header of AV1 or HEVC is cut off")
        self.left -= count
        return (self.value >> self.left) & ((1 << count) - 1)

    def exp_golomb(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def av1_pixels(file: BinaryIO, properties: Sequence[tuple[bytes, bytes]], extents: Sequence[tuple[int, int]]) -> int:
    """The largest picture that the sequence headers allow; 0 without any. Raises ValueError for a broken one."""
    found = [0]
    for kind, content in properties:
        if kind == b"av1C":
            found += [_av1_sequence(header) for header in _obus(content[4:])]
    for start, size in extents:
        found += [_av1_sequence(header) for header in _obus_of_file(file, start, size)]
    return max(found)


def _obus(data: bytes) -> Iterator[bytes]:
    """The contents of sequence headers among the OBUs."""
    at = 0
    for _ in range(MAX_UNITS):
        if at + 1 > len(data):
            return
        head = data[at]
        at += 2 if head & 4 else 1
        size = len(data) - at
        if head & 2:
            size, at = _leb128(data, at)
        if head >> 3 & 15 == _AV1_SEQUENCE_HEADER:
            yield data[at : at + min(size, _HEADER_BYTES)]
        at += size


def _obus_of_file(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    at, end = start, start + size
    for _ in range(MAX_UNITS):
        if at >= end:
            return
        file.seek(at)
        head = file.read(10)
        if not head:
            return
        inside = 2 if head[0] & 4 else 1
        length = end - at - inside
        if head[0] & 2:
            length, inside = _leb128(head, inside)
        if head[0] >> 3 & 15 == _AV1_SEQUENCE_HEADER:
            file.seek(at + inside)
            yield file.read(min(length, _HEADER_BYTES))
        at += inside + length
    raise _too_many()


def _too_many() -> BadImage:
    return too_large("an AVIF or HEIC whose picture is in small pieces", f"{MAX_UNITS}")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    value = 0
    for index, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at + index + 1
    raise ValueError("a size in AV1 is cut off")


def _av1_sequence(header: bytes) -> int:
    bits = _Bits(header)
    bits.take(4)  # profile, still picture
    if bits.take(1):  # reduced header
        bits.take(5)
    else:
        _skip_av1_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return (bits.take(width_bits) + 1) * (bits.take(height_bits) + 1)


def _skip_av1_operating_points(bits: _Bits) -> None:
    has_model, delay_bits = 0, 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.exp_golomb()
        has_model = bits.take(1)
        if has_model:
            delay_bits = bits.take(5) + 1
            bits.take(42)
    has_display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if has_model and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)


def hevc_pixels(file: BinaryIO, properties: Sequence[tuple[bytes, bytes]], extents: Sequence[tuple[int, int]]) -> int:
    """The largest picture that the sequence parameter sets have; 0 without any. Raises ValueError for a broken one."""
    found, prefix = [0], 4
    for kind, content in properties:
        if kind == b"hvcC" and len(content) > 22:
            prefix = (content[21] & 3) + 1
            found += [_hevc_sequence(unit) for unit in _hvcc_units(content)]
    for start, size in extents:
        found += [_hevc_sequence(unit) for unit in _nal_units_of_file(file, start, size, prefix)]
    return max(found)


def _hvcc_units(content: bytes) -> Iterator[bytes]:
    at = 23
    for _ in range(content[22]):
        kind, count = content[at] & 63, int.from_bytes(content[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(content[at : at + 2], "big")
            if kind == _HEVC_SEQUENCE_PARAMETERS:
                yield content[at + 2 : at + 2 + min(size, _HEADER_BYTES)]
            at += 2 + size


def _nal_units_of_file(file: BinaryIO, start: int, size: int, prefix: int) -> Iterator[bytes]:
    at, end = start, start + size
    for _ in range(MAX_UNITS):
        file.seek(at)
        head = file.read(prefix + 1)
        if at + prefix >= end or len(head) <= prefix:
            return
        length = int.from_bytes(head[:prefix], "big")
        if head[prefix] >> 1 & 63 == _HEVC_SEQUENCE_PARAMETERS:
            file.seek(at + prefix)
            yield file.read(min(length, _HEADER_BYTES))
        at += prefix + length
    raise _too_many()


def _hevc_sequence(unit: bytes) -> int:
    bits = _Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)  # nesting, general profile and level
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.take(88 * has_profile + 8 * has_level)
    bits.exp_golomb()
    if bits.exp_golomb() == 3:  # 4:4:4
        bits.take(1)
    return bits.exp_golomb() * bits.exp_golomb()
