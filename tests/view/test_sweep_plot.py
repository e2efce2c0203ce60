from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import skips

pytest.importorskip("matplotlib", reason=skips.PACKAGES)

from showtell.view.sweep_plot import SweepRun, draw_sweep

ORANGE, BLUE = (255, 127, 14), (31, 119, 180)


def run(name: str, value: float | None, state: str = "done", best: bool = False) -> SweepRun:
    return SweepRun((name, "1e-4"), state, value, {} if value is None else {1: value / 2, 2: value}, best)


def positions(
    picture: Path, colour: tuple[int, int, int], left: float = 0, right: float = 0.5
) -> list[tuple[int, int]]:
    """Where a colour is, row by row, between two shares of the width."""
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    width = pixels.shape[1]
    part = pixels[:, int(left * width) : int(right * width)]
    return [(int(x), int(y)) for y, x in np.argwhere((part == colour).all(-1))]


@pytest.mark.parametrize(("metric", "values"), [("CIDEr", (0.5, 0.9, 0.7)), ("loss", (2.5, 2.1, 2.3))])
def test_the_best_is_on_top_and_marked(metric: str, values: tuple[float, ...], tmp_path: Path) -> None:
    picture = tmp_path / "sweep.png"
    runs = [run(name, value, best=name == "b") for name, value in zip("abc", values, strict=True)]
    draw_sweep(runs, ["encoder", "lr"], metric, picture)
    (best_x, best_y), (second_x, second_y) = positions(picture, ORANGE)[0], positions(picture, BLUE)[0]
    assert best_y < second_y and (best_x < second_x) == (metric == "loss")
    assert len(positions(picture, ORANGE, 0.55, 1)) > 100  # and its curve
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.png"]


def test_what_has_reached_nothing_is_there_all_the_same(tmp_path: Path) -> None:
    runs = [run("a", None, "failed"), run("b", None, "waiting"), run("c", 0.4, "running")]
    for n in (2, 3):
        draw_sweep(runs[:n], ["encoder", "lr"], "CIDEr", tmp_path / f"{n}.png")
        assert bool(positions(tmp_path / f"{n}.png", BLUE)) == (n == 3)


def test_the_picture_grows_with_the_rows(tmp_path: Path) -> None:
    sizes = []
    for count in (2, 8, 24):
        draw_sweep([run(str(n), 0.1 * n) for n in range(count)], ["encoder", "lr"], "CIDEr", tmp_path / "sweep.png")
        with Image.open(tmp_path / "sweep.png") as image:
            sizes.append(image.size)
    assert sizes[0] == sizes[1] and sizes[2][0] == sizes[0][0] and 700 < sizes[2][1] < 1100
