"""A whole report on captions whose quality is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from showtell.data.scenes import all_scenes, scene_captions
from showtell.errors import BadData
from showtell.metrics import Evaluation
from showtell.metrics.calibration_report import CalibrationReport

SCENES = [scene_captions(scene, "en") for scene in all_scenes()[:2000:10]]
REFERENCES = {f"{index}": captions for index, captions in enumerate(SCENES)}


@pytest.fixture(scope="module")
def system() -> tuple[dict[str, str], dict[str, float]]:
    """Every third caption is another scene's, and has on the whole a lower score."""
    random = np.random.default_rng(0)
    names = list(REFERENCES)
    captions = {n: REFERENCES[n if index % 3 else names[index - 50]][0] for index, n in enumerate(names)}
    scores = {n: float(random.normal(-0.5 if index % 3 else -1.2, 0.3)) for index, n in enumerate(names)}
    return captions, scores


def test_a_report(system: tuple[dict[str, str], dict[str, float]]) -> None:
    captions, scores = system
    report = CalibrationReport(captions, scores, REFERENCES)
    cider = Evaluation(captions, REFERENCES).per_image["CIDEr"]
    good = np.arange(len(captions)) % 3 > 0
    assert report.correct[good].mean() > 0.9 and not report.correct[~good].any()
    assert report.rank_correlation.low < report.rank_correlation.value < report.rank_correlation.high
    assert report.rank_correlation.value > 0.3
    losses = report.log_losses
    assert losses["logistic"] < losses["exp(score)"] and losses["logistic"] < losses["base rate"]
    share = report.correct.mean()
    assert losses["base rate"] == pytest.approx(-share * math.log(share) - (1 - share) * math.log(1 - share))
    assert 0 < report.calibration_error < 3 * report.chance_calibration_error
    everything, some, none = map(report.coverage, (0.0, 0.9, 1.0))
    assert everything[1:] == (len(captions), pytest.approx(cider.mean()), pytest.approx(report.correct.mean()))
    sure = report.confidence >= 0.9
    assert some == (0.9, sure.sum(), pytest.approx(cider[sure].mean()), pytest.approx(report.correct[sure].mean()))
    assert some.accuracy > 0.85 and 0 < some.captions < everything.captions
    assert none.captions == 0 and math.isnan(none.accuracy)


def test_an_expected_cider_that_knows_more_counts_more(system: tuple[dict[str, str], dict[str, float]]) -> None:
    captions, scores = system
    plain = CalibrationReport(captions, scores, REFERENCES)
    assert plain.cider_weight == 0
    cider = Evaluation(captions, REFERENCES).per_image["CIDEr"]
    knowing = dict(zip(captions, (cider / 10).tolist(), strict=True))
    report = CalibrationReport(captions, scores, REFERENCES, expected_ciders=knowing)
    assert report.cider_weight > 0 and report.rank_correlation.value > 0.9
    assert report.log_losses["logistic"] < plain.log_losses["logistic"]
    assert report.log_losses["exp(score)"] == plain.log_losses["exp(score)"]
    noise = {name: float(value) for name, value in zip(captions, np.random.default_rng(1).random(200), strict=True)}
    assert CalibrationReport(captions, scores, REFERENCES, expected_ciders=noise).cider_weight <= 1


def test_the_order_of_the_mappings_does_not_matter(system: tuple[dict[str, str], dict[str, float]]) -> None:
    captions, scores = system
    backwards = dict(reversed(scores.items()))
    assert (
        CalibrationReport(captions, backwards, REFERENCES).curve
        == CalibrationReport(captions, scores, REFERENCES).curve
    )


def test_other_images_are_refused(system: tuple[dict[str, str], dict[str, float]]) -> None:
    captions, scores = system
    with pytest.raises(BadData, match="references"):
        CalibrationReport(captions, scores, {"0": REFERENCES["0"]})
