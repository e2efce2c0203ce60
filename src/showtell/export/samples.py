"""Sample images for the parity check, which must not depend on any data set."""

from __future__ import annotations

import numpy as np
from PIL import Image

from showtell.core.pixels import to_pixels
from showtell.core.stepper import Floats
from showtell.settings import PixelSettings

COUNT = 8


def sample_pixels(settings: PixelSettings) -> Floats:
    """`[8, 3, size, size]`: smooth random colours, from a few patches to many, the same every time."""
    random = np.random.default_rng(0)
    images = []
    for n in range(COUNT):
        patches = random.integers(0, 256, (n + 2, n + 3, 3), dtype=np.uint8)
        images.append(Image.fromarray(patches).resize((settings.size, settings.size), Image.Resampling.BICUBIC))
    return np.stack([to_pixels(image, settings) for image in images])
