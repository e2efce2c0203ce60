"""Files that would cost far more than their bytes and pixels, and the odd but honest ones that look like them."""

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from tests import bad_images
from tests.counting import count_calls, peak_memory

from showtell.core import image_jpeg, image_png
from showtell.core.image import load_image
from showtell.core.image_exif import exif_orientation
from showtell.errors import BadImage

PHOTO = bad_images.encode(bad_images.photo(), "JPEG")
MEGABYTE_OF_ZEROS = zlib.compress(bytes(1_000_000), 9)


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_with(segments: bytes, photo: bytes = PHOTO) -> bytes:
    return photo[:2] + segments + photo[2:]


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(chunks: bytes) -> bytes:
    whole = bad_images.encode(bad_images.photo(), "PNG")
    return whole[:33] + chunks + whole[33:]


def gif_with(blocks: bytes) -> bytes:
    whole = bad_images.encode(bad_images.photo().convert("L"), "GIF")
    head = 13 + 3 * 256
    return whole[:head] + blocks + whole[head:]


def comment(size: int, block: int) -> bytes:
    return b"\x21\xfe" + (bytes([block]) + b"x" * block) * (size // block) + b"\0"


def directory(entries: list[tuple[int, int, int, bytes]], data: bytes = b"", order: str = "<") -> bytes:
    """A TIFF of one directory, of (tag, type, count, four bytes), with `data` behind it at 14 + 12 * entries."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "LH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHL4s", *e) for e in entries) + bytes(4) + data


def tags_of_the_same_bytes(count: int, size: int) -> bytes:
    at = struct.pack("<L", 14 + 12 * count)
    return directory([(40_000 - count + i, 7, size, at) for i in range(count)], bytes(size))


def short(tag: int, value: int) -> tuple[int, int, int, bytes]:
    return tag, 3, 1, struct.pack("<HH", value, 0)


def tiff(*more: tuple[int, int, int, bytes], data: bytes = b"", side: int = 64, compression: int = 1) -> bytes:
    """A grey TIFF; entries come in the order of their tags."""
    basic = [(256, side), (257, side), (258, 8), (259, compression), (262, 1), (277, 1)]
    return directory(sorted([short(*each) for each in basic] + list(more)), data)


def tiff_of_strips(count: int, kind: int = 4) -> bytes:
    at = struct.pack("<L", 14 + 12 * 9)
    strips = (273, kind, count, at)
    return tiff(strips, short(278, 1), (279, 4, 1, at), data=struct.pack("<L", 8) * count + bytes(4096))


def tiff_of_one_tile(side: int) -> bytes:
    data = zlib.compress(bytes(side * side), 9)
    at, size = struct.pack("<L", 14 + 12 * 10), struct.pack("<L", len(data))
    sides = short(322, side), short(323, side)
    return tiff(*sides, (324, 4, 1, at), (325, 4, 1, size), data=data, compression=8)


def run_length_bmp(width: int, height: int, data: bytes) -> bytes:
    palette = bytes(range(256)) * 4
    start = 54 + len(palette)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + palette + data


def scans(count: int) -> bytes:
    whole = bad_images.encode(bad_images.photo(), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * (count - whole.count(b"\xff\xda") + 1) + whole[-2:]


COSTLY: dict[str, Callable[[], bytes]] = {
    "bmp of deltas": lambda: run_length_bmp(6_200_000, 8, b"\0\2\0\xff\0\1"),
    "bmp of ends of wide rows": lambda: run_length_bmp(6_200_000, 8, b"\1\1\0\0" * 8 + b"\0\1"),
    "bmp of ends of rows": lambda: run_length_bmp(64, 64, b"\0\0" * 2_000_000),
    "tiff with many entries": lambda: tags_of_the_same_bytes(4000, 300_000),
    "tiff whose entries overlap": lambda: tags_of_the_same_bytes(900, 1_000_000),
    "tiff of many strips": lambda: tiff_of_strips(1_000_000),
    "tiff of strips as bytes": lambda: tiff_of_strips(1_000_000, kind=1),
    "tiff of fractions": lambda: tiff((282, 5, 500_000, struct.pack("<L", 98)), data=bytes(4_000_000)),
    "tiff of one wide tile": lambda: tiff_of_one_tile(20_000),
    "gif with a comment in pieces": lambda: gif_with(comment(200_000, 1)),
    "gif with a long comment": lambda: gif_with(comment(4_000_000, 255)),
    "gif with many comments": lambda: gif_with(comment(1, 1) * 100_000),
    "jpeg with EXIF in pieces": lambda: jpeg_with(segment(0xE1, b"Exif\0\0x") * 100_000),
    "jpeg with long EXIF": lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 100),
    "jpeg of comments": lambda: jpeg_with(segment(0xFE, b"") * 300_000),
    "jpeg of fill bytes": lambda: jpeg_with(b"\xff" * 3_000_000),
    "jpeg of restarts": lambda: jpeg_with(b"\xff\xd0" * 1_000_000),
    "jpeg of components": lambda: jpeg_with(segment(0xC0, b"\x08\0\x40\0\x40\x03" + b"\1\x11\0" * 21_000) * 100),
    "jpeg of scans": lambda: scans(10_000),
    "png in pieces": lambda: png_with(chunk(b"aaAa") * 300_000),
}
"""The smallest takes Pillow a tenth of a second or 25 MB, the largest minutes or gigabytes."""

HARMLESS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + tags_of_the_same_bytes(2000, 30_000))),
    "png": lambda: png_with(chunk(b"eXIf", tags_of_the_same_bytes(4000, 300_000))),
    "png with EXIF as text": lambda: png_with(
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n9\n" + tags_of_the_same_bytes(2000, 300_000).hex().encode())
    ),
    "png of texts": lambda: png_with(chunk(b"zTXt", b"\0\0" + MEGABYTE_OF_ZEROS) * 500),
    "png of profiles": lambda: png_with(chunk(b"iCCP", b"k\0\0" + MEGABYTE_OF_ZEROS) * 500),
    "png with a long profile": lambda: png_with(chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(20_000_000)))),
    "png of chromaticities": lambda: png_with(chunk(b"cHRM", bytes(4_000_000))),
    "png of orientations": lambda: png_with(chunk(b"zTXt", b"Raw profile type exif\0\0" + MEGABYTE_OF_ZEROS) * 500),
    "png of first letters": lambda: png_with(chunk(b"eXIf", b"Exif\0\0" * 600_000)),
    "webp": lambda: bad_images.encode(bad_images.photo(), "WEBP", exif=tags_of_the_same_bytes(4000, 300_000)),
}
"""The metadata would take Pillow hundreds of megabytes, or are above its limits; the photo is sound."""


# What costs


@pytest.mark.parametrize("name", COSTLY)
def test_costly_file_is_refused_at_little_cost(name: str) -> None:
    data = COSTLY[name]()

    def refused() -> None:
        with pytest.raises(BadImage) as caught:
            load_image(data)
        assert caught.value.code == "too_large"
        assert "\n" not in str(caught.value)

    calls = count_calls(refused)
    assert calls["_getdecoder"] == 0, "refused before any pixel is decoded"
    assert calls.total() < 7 * image_png.MAX_CHUNKS, "the longest loop makes six calls for each chunk of a PNG"
    assert peak_memory(refused) < 10_000_000 + len(data)


@pytest.mark.parametrize("name", HARMLESS)
def test_a_photo_with_costly_metadata_is_read_without_them(name: str) -> None:
    data = HARMLESS[name]()
    assert load_image(data).size == (64, 48)
    # One call for six bytes, `Exif\0\0`, is the most; Pillow's own parser would make some for each of 4,000 entries.
    assert count_calls(lambda: load_image(data)).total() < 5000 + len(data) / 6
    assert peak_memory(lambda: load_image(data)) < 5_000_000 + 4 * len(data)


def test_scans_are_weighed_by_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_jpeg, "MAX_SCAN_PIXELS", 64 * 48 * 20)
    assert load_image(scans(20)).size == (64, 48)
    with pytest.raises(BadImage, match=r"too_large: found more scans .*; expected at most 20$"):
        load_image(scans(21))
    monkeypatch.setattr(image_jpeg, "MAX_SCAN_PIXELS", 1)
    assert load_image(PHOTO).size == (64, 48), "one scan is refused for its pixels or not at all"


def test_fill_bytes_within_a_picture_do_not_count_as_often_as_there_are_blocks() -> None:
    """libjpeg goes over all of them anew with each block."""
    data = PHOTO[:-2] + b"\xff" * 40_000_000 + PHOTO[-2:]
    assert count_calls(lambda: load_image(data))["load_read"] <= len(data) / 2**20 + 2  # 611 with Pillow's blocks


def test_limits_are_inclusive() -> None:
    most = image_jpeg.MAX_SEGMENTS - PHOTO[: PHOTO.index(b"\xff\xda")].count(b"\xff")
    for fits, does_not in (
        (jpeg_with(segment(0xFE, b"") * most), jpeg_with(segment(0xFE, b"") * (most + 30))),
        (jpeg_with(b"\xff" * image_jpeg.MAX_PADDING), jpeg_with(b"\xff" * (image_jpeg.MAX_PADDING + 1))),
        (gif_with(comment(1 << 18, 64)), gif_with(comment((1 << 18) + 64, 64))),
        (png_with(chunk(b"aaAa") * 65_534), png_with(chunk(b"aaAa") * 65_536)),
        (tiff_of_strips(3 * 65_536), tiff_of_strips(3 * 65_536 + 1)),
        (tiff_of_one_tile(2000), tiff_of_one_tile(2001)),
    ):
        assert min(load_image(fits).size) >= 48
        with pytest.raises(BadImage, match="too_large"):
            load_image(does_not)


# What only looks like it


def test_run_length_coded_bmp() -> None:
    rows = np.repeat(np.arange(48, dtype=np.uint8)[:, None] * 5, 64, axis=1)
    rows[:, 32:] += 7
    data = b"".join(bytes([32, row[0], 32, row[-1], 0, 0]) for row in rows[::-1]) + b"\0\1"
    whole = run_length_bmp(64, 48, data)
    palette = np.frombuffer(bytes(range(256)) * 4, np.uint8).reshape(256, 4)
    assert np.array_equal(np.asarray(load_image(whole)), palette[rows][:, :, 2::-1])


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"big_tiff": True}])
def test_tiff_of_several_pages(options: dict[str, object]) -> None:
    pages = [bad_images.photo(64 + i, 48) for i in range(3)]
    data = bad_images.encode(pages[0], "TIFF", save_all=True, append_images=pages[1:], **options)
    assert load_image(data).size == (64, 48)


def test_tiff_with_a_strip_for_each_row() -> None:
    tall = bad_images.photo(16, 20_000)
    assert load_image(bad_images.encode(tall, "TIFF", tiffinfo={278: 1}, compression="raw")) == tall


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_tiff_whose_entries_share_a_value_or_lie_beyond_the_end() -> None:
    shared = [(282, 5, 1, struct.pack("<L", 8)), (283, 5, 1, struct.pack("<L", 8))]
    at = struct.pack("<L", 14 + 12 * 11)
    strip = ((273, 4, 1, at), short(278, 64), (279, 4, 1, struct.pack("<L", 4096)))
    assert load_image(tiff(*shared, *strip, data=bytes(4096))).size == (64, 64)
    beyond = (65_000, 7, 4_000_000_000, struct.pack("<L", 8))
    assert load_image(tiff(*strip, shared[0], beyond, data=bytes(4096))).size == (64, 64)
    with pytest.raises(BadImage, match="truncated"):
        load_image(b"II+\0\x08\0\0\0" + b"\xff" * 100)


def test_jpeg_with_all_that_cameras_and_programs_write() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[bad_images.ORIENTATION] = 6
    exif.get_ifd(0x8769)[0x927C] = random.Random(1).randbytes(40_000)  # MakerNote
    exif.get_ifd(1)[0x0201] = 100  # thumbnail
    stored = bad_images.photo().transpose(Image.Transpose.ROTATE_90)
    options = {"exif": exif, "icc_profile": profile * 300, "progressive": True, "quality": 95, "subsampling": 0}
    data = bad_images.encode(stored, "JPEG", **options)
    assert data.count(b"ICC_PROFILE\0") > 1
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
    parts = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + random.Random(2).randbytes(65_000)) * 90
    loaded = load_image(jpeg_with(xmp + parts, data))
    plain = load_image(bad_images.rotated_jpeg(6))
    assert loaded.size == (64, 48)
    assert float(np.abs(np.asarray(loaded, float) - np.asarray(plain, float)).mean()) < 1


def test_film_behind_a_photo_is_no_scans() -> None:
    film = random.Random(3).randbytes(100_000).replace(b"\xff\xda", b"") + b"\xff\xda" * 1000
    assert load_image(PHOTO + film) == load_image(PHOTO)
    thumbnail = segment(0xE1, b"Exif\0\0" + b"\xff\xda" * 1000)
    assert load_image(jpeg_with(thumbnail)) == load_image(PHOTO)


def test_many_segments_between_scans_are_as_many_scans() -> None:
    data = scans(20)
    last = data.rindex(b"\xff\xda")
    hidden = data[:last] + segment(0xFE, b"\xff\xda") * 5000 + data[last:]
    with pytest.raises(BadImage, match="too_large"):
        load_image(hidden)


def test_gif_with_a_comment_of_64_kb() -> None:
    assert load_image(gif_with(comment(65_025, 255))).size == (64, 48)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_a_long_animation_only_the_first_frame_is_decoded(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), (i % 256, i // 256, 90)) for i in range(1500)]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    short, long = (
        bad_images.encode(frames[0], kind, save_all=True, append_images=frames[1:count], **options)
        for count in (2, 1500)
    )
    assert load_image(short).getpixel((3, 3)) == load_image(long).getpixel((3, 3)) == (0, 0, 90)
    calls, more = count_calls(lambda: load_image(short)), count_calls(lambda: load_image(long))
    assert (more["decode"], more["get_next"]) == (calls["decode"], calls["get_next"])
    # The chunks of a PNG are stepped over, two for each frame, and five calls for each in the guard and in the parser.
    assert more.total() - calls.total() <= (1498 * 2 * 10 if kind == "PNG" else 0) + 100


def test_png_with_texts_and_a_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    texts = b"".join(chunk(b"tEXt", b"key%d\0value" % i) for i in range(1000))
    data = bad_images.encode(bad_images.photo(), "PNG", icc_profile=profile)
    texts += chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * 500_000))
    assert load_image(data[:33] + texts + data[33:]) == bad_images.photo()


# The orientation, beside Pillow's reading of the whole block


def orientation_by_pillow(block: bytes) -> int | None:
    exif = Image.Exif()
    exif.load(block)
    found = exif.get(bad_images.ORIENTATION)
    return found if isinstance(found, int) else None


@given(
    before=st.lists(st.tuples(st.integers(256, 273), st.sampled_from([1, 2, 3, 4, 7]), st.just(1)), max_size=5),
    kind=st.sampled_from([3, 4]),
    orientation=st.integers(0, 9),
    order=st.sampled_from("<>"),
    prefix=st.sampled_from([b"", b"Exif\0\0", b"Exif\0\0Exif\0\0"]),
)
def test_orientation_is_what_pillow_reads(
    before: list[tuple[int, int, int]], kind: int, orientation: int, order: str, prefix: bytes
) -> None:
    value = struct.pack(order + ("H" if kind == 3 else "L"), orientation).ljust(4, b"\0")
    entries = [(*each, b"abcd") for each in before] + [(bad_images.ORIENTATION, kind, 1, value)]
    block = prefix + directory(entries, order=order)
    assert exif_orientation(block) == orientation_by_pillow(block) == orientation
    assert exif_orientation(prefix + directory(entries[:-1], order=order)) is None


@given(st.data())
def test_a_damaged_exif_block_has_an_orientation_or_none(data: st.DataObject) -> None:
    block = bytearray(b"Exif\0\0" + directory([short(bad_images.ORIENTATION, 6)]))
    for _ in range(data.draw(st.integers(1, 4))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    found = exif_orientation(bytes(block[: data.draw(st.integers(0, len(block)))]))
    assert found is None or isinstance(found, int)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_orientation_of_xmp(kind: str) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    stored = bad_images.photo().transpose(Image.Transpose.ROTATE_90)
    buffer = io.BytesIO()
    if kind == "PNG":
        stored.save(buffer, kind)
        whole = buffer.getvalue()
        data = whole[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) + whole[33:]
    else:
        stored.save(buffer, kind, xmp=xmp)
        data = buffer.getvalue()
    assert load_image(data).size == (64, 48)
