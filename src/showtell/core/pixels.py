"""The only code that turns an RGB image into a tensor, in training, evaluation and serving.

    RGB image -> resize -> uint8 [size, size, 3] -> normalise -> float32 [3, size, size]

Two stages, because training keeps the result of the first on disk and augments it before the second.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from showtell.settings import PixelSettings

MAX_ASPECT_RATIO = 16
"""Of a photo that `shortest_edge` resizes whole. Of a longer strip only the middle is: one of 5,000,000 x 16 pixels
would become one of 80,000,000 x 256."""


def to_pixels(image: Image.Image, settings: PixelSettings) -> NDArray[np.float32]:
    """`[3, size, size]` float32, contiguous. Raises ValueError unless `image` has mode RGB."""
    return normalise(resize(image, settings), settings)


def resize(image: Image.Image, settings: PixelSettings) -> NDArray[np.uint8]:
    """`[size, size, 3]` uint8, contiguous; an image of that size passes through unchanged, where `resize_size` is not
    larger.

    `squash` fits the whole image into the square, `center` the largest square in its middle. `shortest_edge` resizes by
    the shorter side, then cuts the square out of the middle. Both `squash` and `shortest_edge` resize to `resize_size`,
    where it is set, and cut `size` out of that. `pad` fits the whole image, keeping its aspect ratio, and centres it on
    black; smaller images are enlarged. Pillow's filters widen with the reduction, so that large photos do not alias.

    `squash` and `shortest_edge` are what the image processors of transformers (those that use Pillow) do, with their
    rounding, pixel for pixel, up to an aspect ratio of `MAX_ASPECT_RATIO`; a large JPEG differs by what `load_image`
    saves with `hint_size`. Raises ValueError unless `image` has mode RGB.
    """
    if image.mode != "RGB":
        raise ValueError(f"found an image of mode {image.mode}; expected RGB, as load_image gives it")
    if settings.crop_mode == "center":
        return np.array(_resize_center(image, settings))
    if settings.crop_mode == "pad":
        return np.array(_resize_and_pad(image, settings))
    return np.array(_resize_and_crop(image, settings))


def resized_side(settings: PixelSettings) -> int:
    """Pixels of an image's shorter side after resizing: a photo may be decoded at a part of its size that is larger
    than this (`hint_size` of `load_image`)."""
    return settings.resize_size or settings.size


def share_after_cut(settings: PixelSettings) -> float:
    """How much of the width, and of the height, of the resized square is left when `size` is cut out of it."""
    return settings.size / resized_side(settings)


def _resize_center(image: Image.Image, settings: PixelSettings) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    # One step, not resize and then crop: the cropped-off part costs nothing, and the centre is not rounded twice.
    box = (left, top, width - left, height - top)
    return image.resize((settings.size, settings.size), _filter(settings), box=box)


def _resize_and_crop(image: Image.Image, settings: PixelSettings) -> Image.Image:
    """Rounding as in transformers' `get_resize_output_image_size` and `center_crop`."""
    side, size = resized_side(settings), settings.size
    width = height = side
    if settings.crop_mode == "shortest_edge":
        image = _without_far_ends(image)
        long = int(side * max(image.size) / min(image.size))
        width, height = (side, long) if image.width <= image.height else (long, side)
    left, top = (width - size) // 2, (height - size) // 2
    # Rejected: only the box that is cut out. Pillow holds it in single precision, and pixels would differ by one.
    return image.resize((width, height), _filter(settings)).crop((left, top, left + size, top + size))


def _without_far_ends(image: Image.Image) -> Image.Image:
    """The middle of a strip, which has all that will be cut out of it; other images as they are."""
    short, long = sorted(image.size)
    kept = MAX_ASPECT_RATIO * short
    if long <= kept:
        return image
    begin = (long - kept) // 2
    width, height = image.size
    return image.crop((begin, 0, begin + kept, height) if width > height else (0, begin, width, begin + kept))


def _resize_and_pad(image: Image.Image, settings: PixelSettings) -> Image.Image:
    """Centred, an odd pixel after it, as the processor of Donut does."""
    size, longest = settings.size, max(image.size)
    width, height = (max(size * side // longest, 1) for side in image.size)
    padded = Image.new("RGB", (size, size))
    padded.paste(image.resize((width, height), _filter(settings)), ((size - width) // 2, (size - height) // 2))
    return padded


def _filter(settings: PixelSettings) -> Image.Resampling:
    return Image.Resampling[settings.interpolation.upper()]


def normalise(pixels: NDArray[np.uint8], settings: PixelSettings) -> NDArray[np.float32]:
    """uint8 `[..., H, W, 3]` -> float32 `[..., 3, H, W]`, contiguous: scaled to 0..1, less `mean`, divided by `std`.

    Raises ValueError for another type or another last axis.
    """
    if pixels.dtype != np.uint8 or pixels.ndim < 3 or pixels.shape[-1] != 3:
        raise ValueError(f"found {pixels.dtype} {list(pixels.shape)}; expected uint8 [..., H, W, 3]")
    mean = np.asarray(settings.mean, dtype=np.float32)[:, None, None]
    std = np.asarray(settings.std, dtype=np.float32)[:, None, None]
    *leading, height, width, _ = pixels.shape
    batch = np.empty((*leading, 3, height, width), np.float32)
    # Image by image, which stays in the processor's cache for all four steps. Rejected: a table of the 256 values of
    # each channel, which costs as much to look up as to compute.
    for index in np.ndindex(*leading):
        image = batch[index]
        image[...] = np.moveaxis(pixels[index], -1, 0)
        image /= 255
        image -= mean
        image /= std
    return batch
