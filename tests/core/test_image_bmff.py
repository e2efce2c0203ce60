"""AVIF and HEIC files that would cost far more than their bytes and pixels; made from sound ones."""

import io
import struct
from collections.abc import Callable

import pytest
from PIL import Image
from tests import bad_images, skips
from tests.bmff import box, boxes, heic, joined, replaced
from tests.core.test_image import code_of
from tests.counting import count_calls, peak_memory

from showtell.core import image_bmff
from showtell.core.image import load_image
from showtell.core.image_bmff import read_meta
from showtell.core.image_codecs import av1_pixels, hevc_pixels
from showtell.errors import BadImage

pytest.importorskip("pillow_heif", reason=skips.PACKAGES)

META = (b"meta",)


def avif(width: int = 64, height: int = 48, **options: object) -> bytes:
    return bad_images.encode(bad_images.photo(width, height), "AVIF", **options)


def with_size(data: bytes, width: int, height: int, old: tuple[int, int]) -> bytes:
    """The container says another size than the codec."""
    before, after = (b"ispe" + bytes(4) + struct.pack(">LL", *size) for size in (old, (width, height)))
    assert before in data
    return data.replace(before, after)


def smaller_than_coded(kind: str) -> bytes:
    """640 x 480 pixels of one colour, in a container that says 64 x 48."""
    plain = Image.new("RGB", (640, 480), "grey")
    data = heic(plain) if kind == "heic" else bad_images.encode(plain, "AVIF")
    return with_size(data, 64, 48, (640, 480))


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = box(b"moov", inner)
    return inner


def with_meta(change: Callable[[bytes], bytes], data: bytes | None = None) -> bytes:
    return replaced(data or avif(), META, change)


def many_items(count: int) -> bytes:
    entries = b"".join(box(b"infe", b"\2\0\0\0" + struct.pack(">HH", i, 0) + b"mime\0") for i in range(2, count + 2))
    return with_meta(
        lambda meta: joined(
            [
                (k, c[:4] + struct.pack(">H", count) + c[6:] + entries) if k == b"iinf" else (k, c)
                for k, c in boxes(meta)
            ]
        )
    )


def overlapping_items(count: int, size: int) -> bytes:
    """`count` places of the same bytes, each of the whole file."""
    padding = box(b"free", bytes(size))
    places = b"".join(struct.pack(">HHHLL", i, 0, 1, 0, size) for i in range(1000, 1000 + count))

    def add(content: bytes) -> bytes:
        assert content[4] == 0x44 and content[5] >> 4 == 0 and content[0] == 0
        (old,) = struct.unpack_from(">H", content, 6)
        return content[:6] + struct.pack(">H", old + count) + content[8:] + places

    return replaced(avif(), (b"meta", b"iloc"), add) + padding


def tiles_named_often() -> bytes:
    """A grid that says it is 64 x 64 and is made of one tile of 64 x 64, two thousand times."""
    data = heic(bad_images.photo(128, 128), tile_size=64)

    def repeat(content: bytes) -> bytes:
        parts = []
        for kind, entry in boxes(content[4:]):
            if kind == b"dimg":
                source, _, first = struct.unpack_from(">HHH", entry)
                entry = struct.pack(">HH", source, 2000) + struct.pack(">H", first) * 2000
            parts.append((kind, entry))
        return content[:4] + joined(parts)

    return replaced(data, (b"meta", b"iref"), repeat)


def grid_of_itself() -> bytes:
    data = heic(bad_images.photo(128, 128), tile_size=64)

    def refer(content: bytes) -> bytes:
        parts = []
        for kind, entry in boxes(content[4:]):
            if kind == b"dimg":
                source, count = struct.unpack_from(">HH", entry)
                entry = struct.pack(">HH", source, count) + struct.pack(">H", source) * count
            parts.append((kind, entry))
        return content[:4] + joined(parts)

    return replaced(data, (b"meta", b"iref"), refer)


COSTLY: dict[str, Callable[[], bytes]] = {
    "heic that is larger than it says": lambda: smaller_than_coded("heic"),
    "avif that is larger than it says": lambda: smaller_than_coded("avif"),
    "avif in small boxes": lambda: avif() + box(b"free", b"") * 100_000,
    "avif of boxes in boxes": lambda: avif() + nested(1000),
    "avif of boxes in boxes, many": lambda: avif() + box(b"moov", box(b"trak", box(b"edts", b"") * 50_000)),
    "avif of items": lambda: many_items(10_000),
    "avif of overlapping items": lambda: overlapping_items(1000, 100_000),
    "avif of a long list": lambda: with_meta(lambda meta: meta + box(b"free", bytes(17 << 20))),
    "heic of one tile many times": tiles_named_often,
    "heic of a grid of itself": grid_of_itself,
}


@pytest.mark.parametrize("name", COSTLY)
def test_costly_file_is_refused_at_little_cost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = COSTLY[name]()
    monkeypatch.setattr(image_bmff, "_SMALL_PIXELS", 200_000)  # so that the files may be small as well

    def refused() -> None:
        assert code_of(data) == "too_large"

    refused()  # imports
    calls = count_calls(refused)
    assert calls["_getdecoder"] == 0 and calls["get_frame"] == 0, "refused before any pixel is decoded"
    assert calls.total() < 10 * image_bmff.MAX_BOXES
    assert peak_memory(refused) < 10_000_000 + 4 * len(data)


def test_limits_are_inclusive() -> None:
    spare = image_bmff.MAX_BOXES - 60
    assert load_image(avif() + box(b"free", b"") * spare).size == (64, 48)
    assert code_of(avif() + box(b"free", b"") * (spare + 100)) == "too_large"


@pytest.mark.parametrize(("width", "height"), [(64, 48), (1, 9), (801, 3), (640, 359)])
def test_the_size_in_the_codec_is_found(width: int, height: int) -> None:
    """Beside the size that was written; HEVC is coded in blocks of 8 at least."""
    for options in ({}, {"save_all": True, "append_images": [Image.new("RGB", (width, height))]}):
        file = io.BytesIO(avif(width, height, **options))
        meta = read_meta(file)
        assert av1_pixels(file, meta.properties[meta.primary], []) in (0, width * height), "in the property"
        assert av1_pixels(file, [], meta.extents[meta.primary]) == width * height, "in the picture's own data"
    file = io.BytesIO(heic(bad_images.photo(width, height)))
    meta = read_meta(file)
    coded = hevc_pixels(file, meta.properties[meta.primary], meta.extents[meta.primary])
    assert width * height <= coded <= (width + 64) * (height + 64)


def test_a_damaged_list_is_truncated_or_unsupported() -> None:
    for data in (avif(), heic(bad_images.photo())):
        end = data.index(b"mdat")
        for at in range(12, end, 7):
            for value in (0, 255):
                damaged = bytearray(data)
                damaged[at] = value
                try:
                    assert load_image(bytes(damaged), max_pixels=1_000_000).mode == "RGB"
                except BadImage as error:
                    assert "\n" not in str(error)


def test_a_film_is_unsupported() -> None:
    animation = avif(save_all=True, append_images=[Image.new("RGB", (64, 48))])
    film = [(kind, content) for kind, content in boxes(animation) if kind != b"meta"]
    assert b"moov" in dict(film)
    with pytest.raises(
        BadImage, match="unsupported: found a film of the AVIF or HEIC family; expected a still picture"
    ):
        load_image(joined(film))


def test_a_file_that_ends_in_its_first_boxes_is_truncated() -> None:
    for data in (avif(), heic(bad_images.photo())):
        for end in (13, 28, 33, 60, 200):
            assert code_of(data[:end]) == "truncated", end
    assert code_of(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)) == "truncated"


def test_another_codec_is_named() -> None:
    data = heic(bad_images.photo()).replace(b"hvc1\0", b"vvc1\0", 1)
    assert b"vvc1" in data
    with pytest.raises(BadImage, match=r"unsupported: found an AVIF or HEIC that holds VVC \(H.266\); expected AV1"):
        load_image(data)
