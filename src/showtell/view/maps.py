"""One word's attention laid over the photo.

The photo becomes grey, so that all colour in the picture is attention: none where the weight is 0, then violet, red,
orange, and pale yellow at the greatest. The colours grow lighter evenly (they are matplotlib's "inferno" without its
black), and so are told apart in print without colour and by the colour-blind.

Rejected: the photo darkened where the network does not look. On a photo that is dark itself, it shows nothing.

A map is coloured by its own greatest weight, for a map of few weights in many cells would be empty on a scale of all
words. But this is at least EVEN times the mean: a network that looks everywhere alike looks nowhere, and such a map
stays faint. Smooth or not, the scale is that of the weights, and the middle of each cell has one colour.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageOps

from showtell.core.image import ImageSource, load_image
from showtell.errors import BadConfig
from showtell.settings import Crop

Weights = NDArray[Any]

EVEN: Final = 3.0
STOPS: Final = ("#420a68", "#69166e", "#902568", "#b73557", "#d84c3e", "#f06f20", "#fb9b06", "#f9c932", "#f3f68a")
"""Colours of the weights from 0 to the greatest."""
OPACITY: Final = 0.78
"""Of the greatest weight; that of others grows with them."""
DIMMED: Final = 0.8
"""The grey photo's brightness: its white must be darker than the greatest weight."""
UNSEEN: Final = 0.65
"""How far what the network is not shown goes towards white."""


def overlay(photo: ImageSource, weights: Weights, grid: bool = False, crop: Crop = "squash") -> Image.Image:
    """The photo, in its size, with the map of one word, `[h, w]` weights of equal cells, over it.

    The map is smooth: it has each cell's weight at the cell's middle, and between two of them nothing beyond them.
    With `grid` it is what the network has and no more: each cell in one colour. `crop` is the model's
    (`captioner.bundle.manifest.pixels.crop`): with `center` the cells cover the largest square in the middle.

    Raises BadImage for a photo that cannot be used, BadConfig for another `crop`, and ValueError unless weights are
    finite and none is negative.
    """
    return laid_over(load_image(photo), weights, grid, crop)


def laid_over(photo: Image.Image, weights: Weights, grid: bool, crop: Crop) -> Image.Image:
    """`overlay` of an RGB image of any size."""
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 2 or not weights.size or not np.isfinite(weights).all() or weights.min() < 0:
        raise ValueError(f"found weights {list(weights.shape)}; expected [h, w] of finite numbers, none below 0")
    box = seen(photo.size, crop)
    size = (box[2] - box[0], box[3] - box[1])
    full = max(float(weights.max()), EVEN * float(weights.mean())) or 1.0
    drawn_weights = cells(weights, size) if grid else smooth(weights, size)
    strength = Image.fromarray(np.rint(drawn_weights * (255 / full)).astype(np.uint8))
    grey = ImageOps.grayscale(photo).convert("RGB").point([round(DIMMED * value) for value in range(256)] * 3)
    drawn = grey if size == photo.size else Image.blend(grey, Image.new("RGB", photo.size, "white"), UNSEEN)
    inside = _tinted(grey.crop(box), strength)
    if grid:
        _draw_borders(inside, weights.shape)
    drawn.paste(inside, box)
    return drawn


def seen(size: tuple[int, int], crop: Crop) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what `core/pixels` shows to the network, to whole pixels."""
    width, height = size
    if crop == "squash":
        return 0, 0, width, height
    if crop != "center":
        raise BadConfig(f"found crop {crop!r}; expected squash or center, as the model's manifest.pixels.crop says")
    side = min(size)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def smooth(weights: Weights, size: tuple[int, int]) -> Weights:
    """`[h, w]` cells -> `[height, width]` pixels of `size`: monotone cubic curves (Fritsch and Butland 1984, *A Method
    for Constructing Local Monotone Piecewise Cubic Interpolants*) down the columns, then along the rows.

    Each cell has its weight at its middle, from the outermost of which to the edge nothing changes; between two middles
    no weight is less or more than theirs, so that the greatest cell is the brightest spot.

    Rejected: a cubic B-spline, which looks much the same, but has less than half of a lonely cell's weight in its
    middle and twice as much where the cell is in a corner, so that lesser weights outshine greater ones; a natural or a
    Catmull-Rom spline, which swings below 0; and bilinear interpolation, whose ridges draw crosses.
    """
    width, height = size
    drawn: Weights = _stretched(_stretched(weights, height).T, width).T
    return drawn


def cells(weights: Weights, size: tuple[int, int]) -> Weights:
    """`[h, w]` cells -> `[height, width]` pixels of `size`, each with the weight of its cell."""
    width, height = size
    rows, columns = weights.shape
    drawn: Weights = weights[_cell_of(rows, height)[:, None], _cell_of(columns, width)]
    return drawn


def ramp(size: tuple[int, int]) -> Image.Image:
    """The colours from weight 0 to the greatest, from left to right, over a grey photo."""
    width, height = size
    strength = Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1)))
    return _tinted(Image.new("RGB", size, "#808080"), strength)


def _tinted(grey: Image.Image, strength: Image.Image) -> Image.Image:
    opacity = strength.point([round(255 * OPACITY * (value / 255) ** 0.8) for value in range(256)])
    return Image.composite(_coloured(strength), grey, opacity)


def _coloured(strength: Image.Image) -> Image.Image:
    """Mode L from 0 to the greatest weight -> RGB."""
    stops = np.array([ImageColor.getrgb(stop) for stop in STOPS])
    at = np.linspace(0, 255, len(stops))
    channels = [np.interp(np.arange(256), at, stops[:, channel]) for channel in range(3)]
    palette = np.rint(np.stack(channels, 1)).astype(np.uint8)
    paletted = strength.copy()
    paletted.putpalette(palette.tobytes())
    return paletted.convert("RGB")


def _stretched(weights: Weights, pixels: int) -> Weights:
    """`[n, k]` -> `[pixels, k]`, one curve through each column."""
    count = len(weights)
    places = np.clip((np.arange(pixels) + 0.5) * count / pixels - 0.5, 0, count - 1)  # the middle of cell n is at n
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, count - 1)
    t = (places - low).astype(np.float32)[:, None]
    slopes = _slopes(weights)
    start, end = weights[low], weights[high]
    turn = t * (1 - t) * ((1 - t) * slopes[low] - t * slopes[high])
    # Rounding must not lead beyond the two, below 0 least of all.
    drawn: Weights = np.clip(
        start + (end - start) * t * t * (3 - 2 * t) + turn, np.minimum(start, end), np.maximum(start, end)
    )
    return drawn


def _slopes(weights: Weights) -> Weights:
    """In the middle of each cell: the harmonic mean of the slopes at its sides, and 0 where these differ in sign."""
    steps = np.pad(np.diff(weights, axis=0), ((1, 1), (0, 0)))
    before, after = steps[:-1], steps[1:]
    same = before * after > 0
    slopes: Weights = np.where(same, 2 * before * after / np.where(same, before + after, 1), 0)
    return slopes


def _cell_of(count: int, pixels: int) -> NDArray[np.intp]:
    return np.arange(pixels, dtype=np.intp) * count // pixels


def _draw_borders(image: Image.Image, shape: tuple[int, ...]) -> None:
    """Fine lines between the cells."""
    width, height = image.size
    lines = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(lines)
    thick = max(1, round(min(image.size) / 300))
    for row in range(1, shape[0]):
        y = -(-row * height // shape[0])  # the first pixel of the cell
        draw.line((0, y, width, y), 140, thick)
    for column in range(1, shape[1]):
        x = -(-column * width // shape[1])
        draw.line((x, 0, x, height), 140, thick)
    image.paste("white", (0, 0), lines)
