"""The only code that turns an RGB image into a tensor, in training, evaluation and serving.

    RGB image -> resize -> uint8 [size, size, 3] -> normalise -> float32 [3, size, size]

Two stages, because training keeps the result of the first on disk and augments it before the second.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from showtell.settings import PixelSettings

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def to_pixels(image: Image.Image, settings: PixelSettings) -> NDArray[np.float32]:
    """`[3, size, size]` float32, contiguous. Raises ValueError unless `image` has mode RGB."""
    return normalise(resize(image, settings), settings)


def resize(image: Image.Image, settings: PixelSettings) -> NDArray[np.uint8]:
    """`[size, size, 3]` uint8, contiguous; an image of that size passes through unchanged.

    `squash` fits the whole image into the square, `center` the largest square in its middle. Pillow's filters widen
    with the reduction, so that large photos do not alias. Raises ValueError unless `image` has mode RGB.
    """
    if image.mode != "RGB":
        raise ValueError(f"found an image of mode {image.mode}; expected RGB, as load_image gives it")
    width, height = image.size
    left, top = 0.0, 0.0
    if settings.crop_mode == "center":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
    # One step, not resize and then crop: the cropped-off part costs nothing, and the centre is not rounded twice.
    box = (left, top, width - left, height - top)
    return np.array(image.resize((settings.size, settings.size), _RESAMPLING[settings.interpolation], box=box))


def normalise(pixels: NDArray[np.uint8], settings: PixelSettings) -> NDArray[np.float32]:
    """uint8 `[..., H, W, 3]` -> float32 `[..., 3, H, W]`, contiguous: scaled to 0..1, less `mean`, divided by `std`.

    Raises ValueError for another type or another last axis.
    """
    if pixels.dtype != np.uint8 or pixels.ndim < 3 or pixels.shape[-1] != 3:
        raise ValueError(f"found {pixels.dtype} {list(pixels.shape)}; expected uint8 [..., H, W, 3]")
    mean = np.asarray(settings.mean, dtype=np.float32)[:, None, None]
    std = np.asarray(settings.std, dtype=np.float32)[:, None, None]
    # A copy even if the layout is already right: the following operations are in place.
    normal = np.array(np.moveaxis(pixels, -1, -3), dtype=np.float32, order="C")
    normal /= 255
    normal -= mean
    normal /= std
    return normal
