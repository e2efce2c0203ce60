"""Modes and numbers of more than 8 bits; the wanted values are worked out by hand."""

import numpy as np
import pytest
from PIL import Image
from tests import bad_images
from tests.core.test_image import code_of

from showtell.core.image import load_image
from showtell.core.image_grey import grey_to_8bit


def grey(values: list[float], dtype: str) -> list[int]:
    row = np.repeat(np.asarray(values, dtype=dtype), 8)
    loaded = load_image(Image.fromarray(np.tile(row, (8, 1))))
    return [loaded.getpixel((8 * i, 0))[0] for i in range(len(values))]


def test_32_bit_integers_that_hold_8_bits_are_not_black() -> None:
    assert grey([0, 100, 255], "int32") == [0, 100, 255]
    assert grey([0, 1, 2], "int32") == [0, 1, 2]


def test_32_bit_integers_that_hold_16_or_more() -> None:
    assert grey([0, 256, 0x8000], "int32") == [0, 1, 128]
    assert grey([0, 600_000, 1_000_000], "int32") == [0, 153, 255]
    assert grey([-5, 100, 255], "int32") == [0, 100, 255]


def test_16_bits_are_never_taken_for_8() -> None:
    """A dark picture of 16 bits stays dark: the mode says how many it has."""
    assert grey([0, 128, 255], "uint16") == [0, 0, 1]


def test_floats_with_numbers_missing() -> None:
    assert grey([float("nan"), 0.5, 1], "float32") == [0, 128, 255]
    assert grey([float("inf"), 0.5, 1], "float32") == [0, 128, 255]
    assert grey([float("-inf"), 51, 255], "float32") == [0, 51, 255]


def test_inverted_and_transparent() -> None:
    values = np.array([[0, 51, 255]], np.uint16)
    assert np.asarray(grey_to_8bit(values, 255, is_inverted=True)).tolist() == [[255, 204, 0]]
    assert np.asarray(grey_to_8bit(values, 255, transparent=51)).tolist() == [[0, 255, 255]]
    unsigned = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    assert np.asarray(grey_to_8bit(unsigned)).tolist() == [[0, 128, 255]]


def test_lab() -> None:
    # L 0..255 is 0..100; a and b are signed. L 53.24, a 80.09, b 67.20 is the red of sRGB (D65), and
    # 54.29, 80.81, 69.89 that of D50, which Pillow's profile has.
    red = Image.frombytes("LAB", (16, 16), bytes([138, 81, 70]) * 256)
    loaded = load_image(red).getpixel((3, 3))
    assert loaded[0] > 250 and loaded[1] < 12 and loaded[2] < 12
    white = Image.frombytes("LAB", (16, 16), bytes([255, 0, 0]) * 256)
    assert min(load_image(white).getpixel((3, 3))) >= 253


@pytest.mark.parametrize("mode", ["I", "F", "I;16", "I;16B", "I;16L"])
def test_pil_images_of_these_modes_that_are_white(mode: str) -> None:
    size = {"I": 4, "F": 4}.get(mode, 2)
    white = {"I": (255).to_bytes(4, "little"), "F": np.float32(1).tobytes()}.get(mode, b"\xff\xff")
    image = Image.frombytes(mode, (16, 16), white * 256)
    assert len(white) == size
    assert load_image(image).getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64", "bool", "int32", "int64", "float16"])
def test_arrays_of_other_numbers_are_refused_by_name(dtype: str) -> None:
    """What 1 means in them, nothing says; uint8 has one meaning."""
    assert code_of(np.ones((16, 16, 3), dtype)) == "unsupported"
    assert code_of(np.ones((16, 16), dtype)) == "unsupported"


def test_other_modes_with_transparency() -> None:
    palette = bad_images.photo(16, 16).quantize(4)
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert load_image(palette).getpixel((0, 0)) == (255, 255, 255)
    clear = Image.new("RGBa", (16, 16), (0, 0, 0, 0))
    assert load_image(clear).getpixel((0, 0)) == (255, 255, 255)
    assert load_image(Image.new("PA", (16, 16), 0)).getpixel((0, 0)) == (255, 255, 255)
