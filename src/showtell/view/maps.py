"""Attention map of one word as a heat map over the photo.

The photo is drawn in grey, so that all colour is attention: none where the weight is 0, then violet, red, orange, and
pale yellow at the maximum. The colormap is matplotlib's "inferno" without its black; its lightness grows evenly, so it
can be read in black and white and by the colour-blind.

Rejected: darkening the photo where the weight is low. On a dark photo it shows nothing.

Each map is scaled to its own maximum: on a scale common to all words, a map whose weight is spread over many cells
would look empty. The scale is at least MIN_PEAK_RATIO times the mean weight, so that a nearly uniform map stays faint.
Smooth or grid, the scale is that of the weights, and the centre of a cell has the same colour in both.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageOps

from showtell.core.image import ImageSource, load_image
from showtell.core.pixels import share_after_cut
from showtell.errors import BadConfig
from showtell.settings import CropMode, PixelSettings

Weights = NDArray[Any]
Crop = CropMode | PixelSettings
"""What part of a photo the cells cover: `PixelSettings` of the model, or its `crop_mode` where that says all."""

MIN_PEAK_RATIO: Final = 3.0
COLORMAP: Final = ("#420a68", "#69166e", "#902568", "#b73557", "#d84c3e", "#f06f20", "#fb9b06", "#f9c932", "#f3f68a")
"""From weight 0 to the maximum."""
MAX_OPACITY: Final = 0.78
"""At the maximum weight; lower weights are more transparent."""
PHOTO_BRIGHTNESS: Final = 0.8
"""Of the grey photo: its white must be darker than the maximum weight."""
OUTSIDE_FADE: Final = 0.65
"""Share of white in the parts of the photo that preprocessing crops away."""


def overlay(photo: ImageSource, weights: Weights, grid: bool = False, crop: Crop = "squash") -> Image.Image:
    """The photo, in its size, with the attention map of one word, `[h, w]` weights of equal cells.

    The map is interpolated smoothly, see `interpolate_smooth`; with `grid`, each cell has one colour. `crop`: the
    model's `captioner.bundle.manifest.pixels`, or `center` alone, where the cells cover the largest centred square.

    Raises BadImage for a photo that cannot be used, BadConfig for an unknown `crop`, and ValueError for weights that
    are not finite or negative.
    """
    return overlay_rgb(load_image(photo), weights, grid, crop)


def overlay_rgb(photo: Image.Image, weights: Weights, grid: bool, crop: Crop) -> Image.Image:
    """`overlay` for an RGB image of any size."""
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 2 or not weights.size or not np.isfinite(weights).all() or weights.min() < 0:
        raise ValueError(f"found weights {list(weights.shape)}; expected [h, w] of finite numbers, none below 0")
    box = visible_box(photo.size, crop)
    size = (box[2] - box[0], box[3] - box[1])
    scale = max(float(weights.max()), MIN_PEAK_RATIO * float(weights.mean())) or 1.0
    pixel_weights = interpolate_nearest(weights, size) if grid else interpolate_smooth(weights, size)
    intensity = Image.fromarray(np.rint(pixel_weights * (255 / scale)).astype(np.uint8))
    grey = ImageOps.grayscale(photo).convert("RGB").point([round(PHOTO_BRIGHTNESS * value) for value in range(256)] * 3)
    result = grey if size == photo.size else Image.blend(grey, Image.new("RGB", photo.size, "white"), OUTSIDE_FADE)
    heat_map = _blend_colors(grey.crop(box), intensity)
    if grid:
        _draw_grid_lines(heat_map, weights.shape)
    result.paste(heat_map, box)
    return result


def visible_box(size: tuple[int, int], crop: Crop) -> tuple[int, int, int, int]:
    """Left, top, right and bottom, in whole pixels, of the part that `core/pixels` passes to the network; with `pad`
    it is larger than the photo."""
    mode, share = (crop.crop_mode, share_after_cut(crop)) if isinstance(crop, PixelSettings) else (crop, 1.0)
    sides = {"squash": size, "center": (min(size),) * 2, "shortest_edge": (min(size),) * 2, "pad": (max(size),) * 2}
    if mode not in sides:
        raise BadConfig(
            f"found crop {crop!r}; expected {', '.join(sides)}, as the model's manifest.pixels.crop_mode says"
        )
    width, height = (max(1, int(side * share + 0.5)) for side in sides[mode])
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def interpolate_smooth(weights: Weights, size: tuple[int, int]) -> Weights:
    """`[h, w]` cells -> `[height, width]` pixels of `size` by monotone cubic interpolation (PCHIP; Fritsch and Butland
    1984, *A Method for Constructing Local Monotone Piecewise Cubic Interpolants*) down the columns, then along the
    rows.

    Each cell has its weight at its centre; outside the outermost centres the weight is constant. Between two centres no
    weight is beyond theirs, so the cell with the maximum weight is the brightest spot.

    Rejected: a cubic B-spline, which looks much the same, but at the centre of an isolated cell has less than half of
    its weight, and twice as much for a cell in a corner, so that lower weights look higher than others; a natural or a
    Catmull-Rom spline, which undershoots below 0; and bilinear interpolation, whose ridges draw crosses.
    """
    width, height = size
    pixel_weights: Weights = _interpolate_columns(_interpolate_columns(weights, height).T, width).T
    return pixel_weights


def interpolate_nearest(weights: Weights, size: tuple[int, int]) -> Weights:
    """`[h, w]` cells -> `[height, width]` pixels of `size`, each with the weight of its cell."""
    width, height = size
    rows, columns = weights.shape
    pixel_weights: Weights = weights[_cell_indices(rows, height)[:, None], _cell_indices(columns, width)]
    return pixel_weights


def colorbar(size: tuple[int, int]) -> Image.Image:
    """The colours from weight 0 at the left to the maximum, as blended with a grey photo."""
    width, height = size
    intensity = Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1)))
    return _blend_colors(Image.new("RGB", size, "#808080"), intensity)


def _blend_colors(grey: Image.Image, intensity: Image.Image) -> Image.Image:
    opacity = intensity.point([round(255 * MAX_OPACITY * (value / 255) ** 0.8) for value in range(256)])
    return Image.composite(_apply_colormap(intensity), grey, opacity)


def _apply_colormap(intensity: Image.Image) -> Image.Image:
    """Mode L -> RGB."""
    colors = np.array([ImageColor.getrgb(color) for color in COLORMAP])
    positions = np.linspace(0, 255, len(colors))
    channels = [np.interp(np.arange(256), positions, colors[:, channel]) for channel in range(3)]
    palette = np.rint(np.stack(channels, 1)).astype(np.uint8)
    paletted = intensity.copy()
    paletted.putpalette(palette.tobytes())
    return paletted.convert("RGB")


def _interpolate_columns(weights: Weights, pixels: int) -> Weights:
    """`[n, k]` -> `[pixels, k]`, one curve through each column."""
    count = len(weights)
    positions = np.clip((np.arange(pixels) + 0.5) * count / pixels - 0.5, 0, count - 1)  # the centre of cell n is at n
    low = np.floor(positions).astype(int)
    high = np.minimum(low + 1, count - 1)
    t = (positions - low).astype(np.float32)[:, None]
    slopes = _pchip_slopes(weights)
    start, end = weights[low], weights[high]
    slope_term = t * (1 - t) * ((1 - t) * slopes[low] - t * slopes[high])
    values = start + (end - start) * t * t * (3 - 2 * t) + slope_term
    # Rounding must not lead beyond the two cells, least of all below 0.
    clipped: Weights = np.clip(values, np.minimum(start, end), np.maximum(start, end))
    return clipped


def _pchip_slopes(weights: Weights) -> Weights:
    """At the centre of each cell: the harmonic mean of the slopes on both sides, or 0 where their signs differ."""
    steps = np.pad(np.diff(weights, axis=0), ((1, 1), (0, 0)))
    before, after = steps[:-1], steps[1:]
    same_sign = before * after > 0
    slopes: Weights = np.where(same_sign, 2 * before * after / np.where(same_sign, before + after, 1), 0)
    return slopes


def _cell_indices(count: int, pixels: int) -> NDArray[np.intp]:
    return np.arange(pixels, dtype=np.intp) * count // pixels


def _draw_grid_lines(image: Image.Image, shape: tuple[int, ...]) -> None:
    width, height = image.size
    lines = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(lines)
    line_width = max(1, round(min(image.size) / 300))
    for row in range(1, shape[0]):
        y = -(-row * height // shape[0])  # the first pixel of the cell
        draw.line((0, y, width, y), 140, line_width)
    for column in range(1, shape[1]):
        x = -(-column * width // shape[1])
        draw.line((x, 0, x, height), 140, line_width)
    image.paste("white", (0, 0), lines)
