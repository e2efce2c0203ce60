from pathlib import Path

import pytest
from PIL import Image
from tests import skips

pytest.importorskip("matplotlib", reason=skips.PACKAGES)

from showtell.view.reliability_diagram import Panel, Point, draw_reliability_diagram

BLUE = (31, 119, 180)


def test_a_panel_for_each_language(tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    points = [Point(0.2, 0.0, 0.0, 0.2), Point(0.8, 1.0, 0.8, 1.0)]
    sizes = []
    for languages in (["en"], ["en", "ar"]):
        draw_reliability_diagram({name: Panel(points, [0.2, 0.8]) for name in languages}, picture)
        with Image.open(picture) as image:
            sizes.append(image.size)
            halves = [image.convert("RGB").crop(box) for box in ((0, 0, 500, 600), (image.width - 500, 0, *image.size))]
        assert all(BLUE in {colour for _, colour in half.getcolors(500_000)} for half in halves)
    assert sizes == [(564, 600), (1068, 600)]
    assert [p.name for p in tmp_path.iterdir()] == ["curve.png"]
