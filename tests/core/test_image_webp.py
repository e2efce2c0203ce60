"""WebPs whose container is damaged, while their picture is whole."""

import struct

import numpy as np
import pytest
from PIL import Image
from tests import bad_images
from tests.core.test_image import code_of

from showtell.core.image import load_image
from showtell.errors import BadImage

PHOTO = bad_images.photo()
EXIF = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHLHH", 1, 0x0112, 3, 1, 6, 0) + bytes(4)
KINDS = {
    "lossless": {"lossless": True},
    "lossy": {"quality": 95},
    "alpha": {"quality": 95, "exact": True},
    "extended": {"lossless": True, "icc_profile": bytes(1000), "xmp": b"<x/>" * 100},
}


def encoded(kind: str, **more: object) -> bytes:
    image = PHOTO.convert("RGBA") if kind == "alpha" else PHOTO
    return bad_images.encode(image, "WEBP", **{**KINDS[kind], **more})


def sized(data: bytes, size: int) -> bytes:
    return data[:4] + struct.pack("<I", size) + data[8:]


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_in_the_header_does_not_matter(kind: str) -> None:
    data = encoded(kind)
    wanted = load_image(data)
    for size in (0, 1, 12, len(data) - 8 + 100, 0xFFFFFFFE):
        assert load_image(sized(data, size)) == wanted, size
    assert load_image(data + b"what a program wrote behind it") == wanted


def test_metadata_that_are_cut_off_do_not_matter() -> None:
    whole = encoded("lossless", exif=EXIF + bytes(500), xmp=b"<x/>" * 100)
    wanted = load_image(encoded("lossless"))
    assert whole[:-100].count(b"VP8L") == 1
    for missing in (1, 2, 100, 300):
        assert load_image(whole[:-missing]).size in (wanted.size, wanted.size[::-1])
    # With its EXIF, the photo is turned; without, it is not.
    assert load_image(whole).size == wanted.size[::-1]
    assert load_image(whole[: whole.index(b"EXIF") + 20]) == wanted


@pytest.mark.parametrize("kind", ["lossless", "lossy"])
def test_a_webp_from_which_pixels_are_missing_is_truncated(kind: str) -> None:
    data = encoded(kind)
    for share in (0.3, 0.6, 0.9):
        assert code_of(data[: int(len(data) * share)]) == "truncated"
        assert code_of(sized(data[: int(len(data) * share)], 0)) == "truncated"


def test_the_first_frame_of_an_animation_that_is_cut_off() -> None:
    frames = [Image.new("RGB", (16, 16), (i, 0, 0)) for i in range(60, 90)]
    data = bad_images.encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert load_image(data).getpixel((3, 3)) == (60, 0, 0)
    try:
        cut = np.asarray(load_image(data[: len(data) // 2]))
    except BadImage as error:
        assert error.code == "truncated"
    else:
        assert (cut == (60, 0, 0)).all()
