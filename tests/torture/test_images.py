"""One image of each family goes all ways; and what the torture looks for would be found."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import skips

pytest.importorskip("torch", reason=skips.PACKAGES)
pytest.importorskip("fastapi", reason=skips.PACKAGES)
pytest.importorskip("tifffile", reason=skips.PACKAGES)
pytest.importorskip("pillow_heif", reason=skips.PACKAGES)

from PIL import Image
from tests import bad_images
from torture.harness import Tally
from torture.image_case import accepted, refused

from torture import image_ways, images

PHOTO = bad_images.photo()
PIXELS = np.asarray(PHOTO)
PNG = bad_images.encode(PHOTO, "PNG")


@pytest.fixture(scope="module")
def ways() -> Any:
    ways = images.ways()
    yield ways
    ways.server.stop()


def test_an_image_of_each_family(ways: Any) -> None:
    tally = images.check(range(len(images.FAMILIES)), False, lambda name: None)
    assert tally.failures == []
    assert tally.counts["images"] == len(images.FAMILIES) and tally.counts["accepted"] >= len(images.ODD)


def test_an_image_can_be_made_again_alone() -> None:
    assert images.make(123)[1].data == images.make(123)[1].data != images.make(123 + len(images.FAMILIES))[1].data


@pytest.mark.parametrize(
    ("case", "found"),
    [
        (accepted(PNG[:100], ".png", PIXELS), "refused as truncated; expected its pixels"),
        (refused(PNG, ".png", "truncated"), "accepted; expected truncated"),
        (refused(b"text", ".png", "truncated"), "refused as not_an_image; expected truncated"),
        (accepted(PNG, ".png", PIXELS[:, :40]), "an image of (48, 64, 3)"),
        (accepted(PNG, ".png", 255 - PIXELS), "pixels that differ by 255"),
    ],
)
def test_a_wrong_verdict_would_be_found(case: Any, found: str, tmp_path: Path) -> None:
    tally, file = Tally(), tmp_path / "image.png"
    file.write_bytes(case.data)
    image_ways.library(case, file, "name", tally)
    assert len(tally.failures) == 1 and found in tally.failures[0]


@pytest.mark.parametrize(("error", "found"), [(ZeroDivisionError("x"), "raised ZeroDivisionError: x")])
def test_a_foreign_error_would_be_found(error: Exception, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> Image.Image:
        raise error

    tally = Tally()
    monkeypatch.setattr(image_ways, "load_image", fail)
    image_ways.library(accepted(PNG, ".png", PIXELS), Path("image.png"), "name", tally)
    assert len(tally.failures) == 1 and found in tally.failures[0]


def test_time_and_memory_above_the_limits_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tally, file = Tally(), tmp_path / "image.png"
    file.write_bytes(PNG)
    monkeypatch.setattr(image_ways, "MAX_SECONDS", -1.0)
    monkeypatch.setattr(image_ways, "MAX_EXTRA_MIB", -1e9)
    image_ways.library(accepted(PNG, ".png", PIXELS), file, "name", tally)
    assert ["took" in line for line in tally.failures] == [True, True]


def test_other_answers_of_a_way_would_be_found(ways: Any, tmp_path: Path) -> None:
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    files[0].write_bytes(PNG)
    files[1].write_bytes(b"text")
    expected = ways.expected(files, ["accepted", "not_an_image"])
    assert list(ways.upload(files)) == ways.bulk(files, tmp_path / "rows.jsonl") == expected
    tally = Tally()
    image_ways.compare("server", files, expected[::-1], expected, tally)
    assert len(tally.failures) == 2
    tally = Tally()
    ways.training(files, ["not_an_image", "accepted"][::-1], tmp_path / "cache", tally)
    assert tally.failures == []
    ways.training(files[:1], ["truncated"], tmp_path / "cache", tally)
    assert len(tally.failures) == 1 and "training took it" in tally.failures[0]
