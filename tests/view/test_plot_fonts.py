import warnings
from pathlib import Path

import pytest
from tests import skips

pytest.importorskip("matplotlib", reason=skips.PACKAGES)
pytest.importorskip("fontTools", reason=skips.PACKAGES)

from tests.view.made_fonts import make_font

from showtell.view import typefaces
from showtell.view.plot_fonts import plot_fonts
from showtell.view.sweep_plot import SweepRun, draw_sweep
from showtell.view.typefaces import FontBook


@pytest.fixture
def font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the machine's only font."""
    name = f"Made for {tmp_path.name}"  # matplotlib keeps fonts by name
    make_font(tmp_path / "fonts" / "plots.ttf", dict.fromkeys("照片狗", (800, 900)), name)
    book = FontBook([tmp_path / "fonts"])
    monkeypatch.setattr(typefaces, "book", lambda: book)
    return name


def test_a_font_is_added_for_letters_that_matplotlib_lacks(font: str) -> None:
    assert plot_fonts(["csv:photos.csv", "Größe 0.5"], "monospace") == ["monospace"]
    assert plot_fonts(["csv:照片.csv"], "monospace") == ["monospace", font]


def test_settings_in_any_script_are_drawn_in_the_plot_of_a_sweep(font: str, tmp_path: Path) -> None:
    runs = [SweepRun((f"csv:{name}.csv",), "done", 0.5, {1: 0.4, 2: 0.5}, name == "照片") for name in ("照片", "狗")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a letter that no font has
        draw_sweep(runs, ["data"], "CIDEr", tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 1000
