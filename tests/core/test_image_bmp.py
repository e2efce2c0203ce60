"""BMP: pixels as they were meant, beside what the file was written from."""

import struct

import numpy as np
import pytest
from tests.bad_images import photo

from showtell.core.image import load_image

PIXELS = np.asarray(photo())


def with_alpha(alpha: np.ndarray) -> bytes:
    """32 bits a pixel, with masks of all four channels, as Windows copies a screenshot (BITMAPV5HEADER)."""
    height, width = alpha.shape
    rows = np.dstack([PIXELS[..., ::-1], alpha])[::-1].astype(np.uint8).tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 32, 3, len(rows), 0, 0, 0, 0)
    header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"sRGB"[::-1] + bytes(64)
    return b"BM" + struct.pack("<IHHI", 138 + len(rows), 0, 0, 138) + header + rows


@pytest.mark.parametrize("alpha", [0, 255])
def test_an_alpha_that_nothing_was_written_to_is_no_alpha(alpha: int) -> None:
    assert np.array_equal(np.asarray(load_image(with_alpha(np.full(PIXELS.shape[:2], alpha)))), PIXELS)


def test_an_alpha_that_is_one_is_kept() -> None:
    alpha = np.zeros(PIXELS.shape[:2])
    alpha[:, :32] = 255
    pixels = np.asarray(load_image(with_alpha(alpha)))
    assert np.array_equal(pixels[:, :32], PIXELS[:, :32]) and (pixels[:, 32:] == 255).all()
