"""Confidence from a bundle's curve, and what a curve may be."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.manifests import write_manifest

from showtell import Captioner
from showtell.core.bundle import CHECKSUM, MANIFEST, builtin, load_bundle, manifest_checksum
from showtell.core.bundle_updates import write_calibration
from showtell.core.confidence import Calibration, confidence
from showtell.errors import BadBundle

DOG = Path(__file__).parents[2] / "examples" / "dog.jpg"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The built-in model without a calibration."""
    copy = Path(shutil.copytree(builtin(), tmp_path / "model"))
    change(copy, None)
    return copy


def change(bundle: Path, calibration: Any) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest.pop("calibration", None)
    more = {} if calibration is None else {"calibration": calibration}
    write_manifest(bundle, {**manifest, **more})


def test_the_logistic_by_hand() -> None:
    curve = Calibration(slope=2, intercept=1)
    assert confidence(-0.5, curve) == 0.5
    assert confidence(-1.5, curve) == pytest.approx(1 / (1 + math.e**2))
    assert confidence(0.0, curve) == pytest.approx(1 / (1 + math.exp(-1)))


def test_the_expected_cider_counts_as_much_as_the_calibration_says() -> None:
    curve = Calibration(slope=2, intercept=1, cider_weight=3)
    assert confidence(-1.5, curve, 0.25) == pytest.approx(1 / (1 + math.exp(-(2 * (-1.5 + 0.75) + 1))))
    assert confidence(-1.5, curve, None) == pytest.approx(math.exp(-1.5))  # the curve says nothing of it
    assert confidence(-1.5, Calibration(slope=2, intercept=1), 0.25) == pytest.approx(1 / (1 + math.e**2))


@pytest.mark.parametrize(("slope", "expected"), [(0.0, 1.0), (1e6, 0.0)])
def test_no_curve_is_too_steep(slope: float, expected: float) -> None:
    assert confidence(-1.0, Calibration(slope=slope, intercept=1000)) == expected


def test_a_better_score_is_never_less_sure() -> None:
    curve = Calibration(slope=5.2, intercept=3.6)
    found = [confidence(-score / 100, curve) for score in range(400)]
    assert found == sorted(found, reverse=True) and 0 < found[-1] < found[0] < 1


def test_without_a_calibration_it_is_the_mean_probability(bundle: Path) -> None:
    assert "calibration" not in json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    caption = Captioner.load(bundle).caption(DOG)
    assert caption.confidence == pytest.approx(math.exp(caption.score)) and 0 < caption.confidence < 1


def test_a_calibrated_bundle_says_how_likely_its_captions_are_right(bundle: Path) -> None:
    before = Captioner.load(bundle).caption(DOG)
    write_calibration(bundle, {"en": Calibration(slope=3, intercept=0.5)})
    caption = Captioner.load(bundle).caption(DOG)
    assert (caption.text, caption.score) == (before.text, before.score)
    assert caption.confidence == pytest.approx(1 / (1 + math.exp(-3 * caption.score - 0.5)))


def test_a_second_calibration_replaces_its_own_language_only(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest.pop(CHECKSUM, None)
    write_manifest(bundle, {**manifest, "languages": ["en", "ar"]})
    for language, slope in (("en", 1), ("ar", 2), ("en", 3)):
        write_calibration(bundle, {language: Calibration(slope=slope, intercept=0)})
    found = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    curves = found.pop("calibration")
    assert {name: curve["slope"] for name, curve in curves.items()} == {"en": 3, "ar": 2}
    assert found.pop(CHECKSUM) == manifest_checksum(found | {"calibration": curves})
    assert found == {**manifest, "languages": ["en", "ar"]}
    assert sorted(p.name for p in bundle.iterdir()) == sorted(p.name for p in builtin().iterdir())  # no litter


@pytest.mark.parametrize(
    ("calibration", "problem"),
    [
        ({"en": {"slope": -1, "intercept": 0}}, "calibration.en.slope: Input should be greater than or equal to 0"),
        ({"en": {"slope": math.nan, "intercept": 0}}, "calibration.en.slope: Input should be"),
        ({"en": {"slope": 1, "intercept": math.inf}}, "calibration.en.intercept: Input should be a finite number"),
        ({"en": {"slope": 1}}, "calibration.en.intercept: Field required"),
        ({"en": {"slope": 1, "intercept": 0, "knots": []}}, "calibration.en.knots"),
        ({"fr": {"slope": 1, "intercept": 0}}, "calibration: Value error, found fr; expected languages of this model"),
        ([], "calibration: Input should be a valid dictionary"),
    ],
)
def test_a_curve_that_falls_or_is_none_is_refused(bundle: Path, calibration: Any, problem: str) -> None:
    change(bundle, calibration)
    with pytest.raises(BadBundle) as raised:
        load_bundle(bundle)
    assert problem in str(raised.value) and MANIFEST in str(raised.value) and "\n" not in str(raised.value)
