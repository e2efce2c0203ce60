"""Where on the photo the colour is, and how much of it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.interpolate import PchipInterpolator

from showtell.core.pixels import resize
from showtell.errors import BadConfig
from showtell.settings import CropMode, PixelSettings
from showtell.view.maps import interpolate_nearest, interpolate_smooth, overlay, visible_box


def only(row: int, column: int, size: int = 7) -> np.ndarray:
    weights = np.zeros((size, size), np.float32)
    weights[row, column] = 1
    return weights


def grey(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), "#808080")


def change(drawn: Image.Image, grid: bool, crop: CropMode = "squash") -> np.ndarray:
    """How far each pixel is from what it is where the network does not look at all."""
    plain = overlay(grey(*drawn.size), np.zeros((7, 7)), grid, crop)
    return np.abs(np.asarray(drawn, int) - np.asarray(plain, int)).sum(2)


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("size", [(210, 210), (350, 140), (140, 350), (97, 301)])
@pytest.mark.parametrize("cell", [(0, 0), (3, 3), (2, 5), (6, 1)])
@pytest.mark.parametrize("crop", ["squash", "center"])
def test_the_colour_is_where_the_weight_is(
    grid: bool, size: tuple[int, int], cell: tuple[int, int], crop: CropMode
) -> None:
    """Worked out by hand from what `core/pixels` shows to the network: all of the photo, or its middle square."""
    width, height = size
    drawn = overlay(grey(*size), only(*cell), grid, crop)
    assert drawn.size == size and drawn.mode == "RGB"
    colour = change(drawn, grid, crop)
    shown_width, shown_height = (min(size), min(size)) if crop == "center" else size
    left = (width - shown_width) / 2 + cell[1] * shown_width / 7
    top = (height - shown_height) / 2 + cell[0] * shown_height / 7
    rows, columns = np.nonzero(colour == colour.max())
    assert top - 1 <= rows.mean() <= top + shown_height / 7 + 1
    assert left - 1 <= columns.mean() <= left + shown_width / 7 + 1
    outside = np.ones_like(colour, bool)
    outside[(height - shown_height) // 2 :][:shown_height, (width - shown_width) // 2 :][:, :shown_width] = False
    assert not colour[outside].any()


def test_what_the_network_is_not_shown_fades() -> None:
    drawn = np.asarray(overlay(grey(300, 100), only(3, 3), crop="center"), int)
    assert drawn[:, :100].min() > 128 > drawn[:, 100].max() and drawn[:, 200:].min() > 128


def test_a_photo_loses_its_own_colour() -> None:
    photo = Image.new("RGB", (70, 70), "#c01030")
    colour = np.ptp(np.asarray(overlay(photo, only(0, 0)), int), axis=2)
    assert colour[40:, 40:].max() == 0 and colour[0, 0] > 50


MAPS = arrays(np.float32, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.floats(0, 1, width=32))


@given(MAPS, st.integers(1, 6), st.integers(1, 6))
def test_a_smooth_map_has_the_weights_in_the_middles_and_nothing_beyond(
    weights: np.ndarray, wide: int, high: int
) -> None:
    rows, columns = weights.shape
    wide, high = 2 * wide + 1, 2 * high + 1  # so that the middle of a cell is a pixel
    drawn = interpolate_smooth(weights, (wide * columns, high * rows))
    assert drawn.shape == (high * rows, wide * columns)
    assert drawn.min() >= weights.min() and drawn.max() <= weights.max()
    assert np.allclose(drawn[high // 2 :: high, wide // 2 :: wide], weights, atol=1e-6)


@given(MAPS, st.integers(1, 40), st.integers(1, 40))
def test_a_smooth_map_is_scipy_s_monotone_curve(weights: np.ndarray, width: int, height: int) -> None:
    def curves(values: np.ndarray, pixels: int) -> np.ndarray:
        middles = np.arange(-1, len(values) + 1)  # with one more at each end, that the curves become level there
        positions = (np.arange(pixels) + 0.5) * len(values) / pixels - 0.5
        return PchipInterpolator(middles, np.pad(values, ((1, 1), (0, 0)), "edge"), axis=0)(positions)

    expected = curves(curves(weights.astype(float), height).T, width).T
    assert np.allclose(interpolate_smooth(weights, (width, height)), expected, atol=1e-5)


@pytest.mark.parametrize("greatest", [(3, 3), (0, 0), (6, 2)])
def test_the_greatest_weight_is_the_brightest_spot_and_has_one_colour_wherever_it_is(greatest: tuple[int, int]) -> None:
    weights = np.zeros((7, 7), np.float32)
    weights[0, 6] = 0.4
    weights[greatest] = 0.6
    drawn = overlay(grey(210, 210), weights)
    brightest = change(drawn, False)
    rows, columns = np.nonzero(brightest == brightest.max())
    assert ((rows // 30 == greatest[0]) & (columns // 30 == greatest[1])).all()
    middle = tuple(30 * cell + 15 for cell in greatest)
    in_grid = overlay(grey(210, 210), weights, grid=True)
    assert np.abs(np.subtract(drawn.getpixel(middle[::-1]), in_grid.getpixel(middle[::-1]))).max() <= 2


@given(MAPS)
def test_cells_are_constant_and_equal_the_weights(weights: np.ndarray) -> None:
    rows, columns = weights.shape
    drawn = interpolate_nearest(weights, (5 * columns, 4 * rows))
    assert (drawn == np.kron(weights, np.ones((4, 5), np.float32))).all()


def test_the_grid_has_one_colour_in_a_cell_and_lines_between() -> None:
    weights = np.arange(49, dtype=np.float32).reshape(7, 7)
    drawn = np.asarray(overlay(grey(210, 140), weights, grid=True), int)
    middles = set()
    for row in range(7):
        for column in range(7):
            cell = drawn[20 * row + 2 : 20 * row + 19, 30 * column + 2 : 30 * column + 29].reshape(-1, 3)
            assert (cell == cell[0]).all(), (row, column)
            middles.add(tuple(cell[0]))
    assert len(middles) == 49
    for line in (drawn[10, 30], drawn[20, 15]):
        assert line.sum() > drawn[10, 15].sum() + 60
    smoothed = np.asarray(overlay(grey(210, 140), weights))
    assert len({tuple(pixel) for pixel in smoothed[:, 105]}) > 30


@pytest.mark.parametrize("grid", [False, True])
def test_a_map_that_is_nearly_even_stays_faint(grid: bool) -> None:
    photo = grey(210, 210)
    even = change(overlay(photo, np.full((7, 7), 1 / 49), grid), grid)[105, 105]
    assert 0 < even < change(overlay(photo, only(3, 3), grid), grid)[105, 105] / 2


@pytest.mark.parametrize("size", [(8, 8), (8, 400), (900, 8), (9, 5)])
def test_more_cells_than_pixels(size: tuple[int, int]) -> None:
    for grid in (False, True):
        assert overlay(grey(max(8, size[0]), max(8, size[1])), only(6, 6, 14), grid, "center").size[0] >= 8


@pytest.mark.parametrize(
    "weights", [np.zeros(7), np.zeros((2, 7, 7)), np.zeros((0, 7)), np.full((7, 7), np.nan), -only(1, 1)]
)
def test_weights_that_are_none(weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected \[h, w\]"):
        overlay(grey(70, 70), weights)


@pytest.mark.parametrize(
    ("changes", "size", "box"),
    [
        ({}, (100, 60), (0, 0, 100, 60)),
        ({"resize_size": 256}, (1000, 600), (62, 37, 937, 562)),  # 224 / 256 of each side: 875 x 525
        ({"crop_mode": "center"}, (101, 60), (20, 0, 80, 60)),
        ({"crop_mode": "shortest_edge"}, (60, 100), (0, 20, 60, 80)),
        ({"crop_mode": "shortest_edge", "resize_size": 256}, (1000, 640), (220, 40, 780, 600)),
        ({"crop_mode": "pad"}, (100, 60), (0, -20, 100, 80)),
        ({"crop_mode": "pad"}, (61, 100), (-20, 0, 80, 100)),
    ],
)
def test_what_the_cells_cover(changes: dict[str, Any], size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    assert visible_box(size, PixelSettings(size=224, **changes)) == box
    if "resize_size" not in changes:
        assert visible_box(size, changes.get("crop_mode", "squash")) == box


def test_the_cells_are_where_preprocessing_puts_them() -> None:
    """A bright spot in the photo lands in the cell that is drawn over it."""
    for mode, resized in (("squash", 280), ("center", None), ("shortest_edge", 280), ("pad", None)):
        settings = PixelSettings(size=224, crop_mode=mode, resize_size=resized)
        photo = Image.new("RGB", (500, 300))
        photo.paste("white", (260, 200, 290, 230))
        seen = resize(photo, settings)[:, :, 0].astype(float)
        cells = seen.reshape(7, 32, 7, 32).mean((1, 3))
        drawn = np.asarray(overlay(Image.new("RGB", (500, 300), "#808080"), cells, True, settings), int)
        plain = np.asarray(overlay(Image.new("RGB", (500, 300), "#808080"), np.zeros((7, 7)), True, settings), int)
        colour = np.abs(drawn - plain).sum(-1)
        assert colour[200:230, 260:290].mean() > 5 * colour.mean(), mode


def test_a_crop_that_is_none() -> None:
    with pytest.raises(BadConfig, match="expected squash, center, shortest_edge, pad, as"):
        overlay(grey(70, 70), only(1, 1), crop="round")  # type: ignore[arg-type]
