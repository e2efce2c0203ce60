import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import skips

pytest.importorskip("matplotlib", reason=skips.PACKAGES)

from showtell.view.curves import draw_curves

LOG = """\
{"kind": "train", "epoch": 1, "step": 20, "cross_entropy": 5.0}
{"kind": "train", "epoch": 1, "step": 40, "cross_entropy": 3.0}
{"kind": "dev", "epoch": 1, "step": 40, "scores": {"en": {"CIDEr": 0.3, "BLEU-4": 0.1}, "CIDEr": 0.3}}
"""


def test_a_picture_of_a_run_replaces_the_last_one(tmp_path: Path) -> None:
    log, picture = tmp_path / "log.jsonl", tmp_path / "curves.png"
    log.write_text("", encoding="utf-8")
    draw_curves(log, picture)
    empty = picture.read_bytes()
    log.write_text(LOG, encoding="utf-8")
    draw_curves(log, picture)
    with Image.open(picture) as image:
        assert image.size == (1080, 420)
        colours = {colour for _, colour in image.convert("RGB").getcolors(100_000)}
    assert (31, 119, 180) in colours  # the curve is there
    assert picture.read_bytes() != empty
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.png", "log.jsonl"]


def test_the_curves_of_many_languages_have_room(tmp_path: Path) -> None:
    """A legend of twenty-four lines in the axes left none for the curves."""
    scores = {f"l{number}": {"CIDEr": number / 12, "BLEU-4": number / 24} for number in range(12)}
    lines = [json.dumps({"kind": "dev", "epoch": epoch, "step": epoch, "scores": scores}) for epoch in (1, 2)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        dark = np.asarray(image.convert("L")) < 60
    # The axes of the right half: its longest line of ink is their lower edge.
    assert dark[:, 540:].sum(axis=1).max() > 250
