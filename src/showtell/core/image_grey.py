"""Grey images of more than 8 bits, scaled to 8."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_FLOAT_RANGES: Final = (1.0, 255.0, 65535.0)
_INTEGER_RANGES: Final = (255.0, 65535.0)


def grey_to_8bit(
    values: NDArray[Any], white: float | None = None, transparent: float | None = None, is_inverted: bool = False
) -> Image.Image:
    """Numbers [H, W] scaled from 0..`white` to mode L, those beyond clipped; `transparent` ones are white.

    Where `white` is not known, it is the end of the smallest usual range that holds the values: 255 or 65535, 1 too
    for floats, or else the largest value. What is no number is black.
    """
    ranges = _FLOAT_RANGES if values.dtype.kind == "f" else _INTEGER_RANGES
    scaled = values.astype(np.float32)
    # In place from here: this may be 80 million pixels.
    np.nan_to_num(scaled, copy=False, nan=0, posinf=0, neginf=0)
    transparent_pixels = None if transparent is None else scaled == transparent
    if white is None:
        maximum = float(scaled.max())
        white = next((limit for limit in ranges if maximum <= limit), maximum)
    np.clip(scaled, 0, white, out=scaled)
    scaled *= 255 / white
    pixels = np.rint(scaled, out=scaled).astype(np.uint8)
    if is_inverted:
        np.subtract(255, pixels, out=pixels)
    if transparent_pixels is not None:
        pixels[transparent_pixels] = 255
    return Image.fromarray(pixels)
