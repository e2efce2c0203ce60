"""Curves from scores to probabilities: against slow references, and against the truth that data were drawn from."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from showtell.metrics.calibration import (
    Curve,
    LogisticCurve,
    chance_calibration_error,
    cross_fit,
    expected_calibration_error,
    fit_isotonic,
    fit_logistic,
    log_loss,
    pool_adjacent_violators,
    reliability_bins,
)


def slow_isotonic(values: list[float], weights: list[float]) -> list[float]:
    """Of all ways to cut the row into blocks of one value each, the one that never falls and is nearest."""
    best, result = math.inf, values
    for cuts in itertools.product([False, True], repeat=len(values) - 1):
        edges = [0, *(position + 1 for position, cut in enumerate(cuts) if cut), len(values)]
        blocks = [slice(*edge) for edge in itertools.pairwise(edges)]
        means = [float(np.average(values[block], weights=weights[block])) for block in blocks]
        fitted = [mean for mean, block in zip(means, blocks, strict=True) for _ in values[block]]
        error = sum(w * (v - f) ** 2 for v, w, f in zip(values, weights, fitted, strict=True))
        if means == sorted(means) and error < best:
            best, result = error, fitted
    return result


@pytest.mark.parametrize("seed", range(20))
def test_pooling_is_the_nearest_row_that_never_falls(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, weights = random.integers(0, 5, size=8) / 4, random.integers(1, 4, size=8).astype(np.float64)
    result, block_weights = pool_adjacent_violators(values, weights)
    assert result.tolist() == pytest.approx(slow_isotonic(values.tolist(), weights.tolist()))
    for value in set(result.tolist()):
        assert set(block_weights[result == value]) == {weights[result == value].sum()}


def drawn(count: int, slope: float, intercept: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, correctness, and the probability of being correct."""
    random = np.random.default_rng(seed)
    scores = random.normal(-0.9, 0.25, size=count)
    truth = 1 / (1 + np.exp(-(slope * scores + intercept)))
    return scores, random.random(count) < truth, truth


def test_a_known_curve_is_found_again() -> None:
    scores, correct, truth = drawn(40_000, 5.0, 3.5)
    curve = fit_logistic(scores, correct)
    assert curve.slope == pytest.approx(5.0, abs=0.2) and curve.intercept == pytest.approx(3.5, abs=0.2)
    assert np.abs(curve.predict(scores) - truth).max() < 0.02
    middle = np.abs(scores + 0.9) < 0.4
    assert np.abs(fit_isotonic(scores, correct).predict(scores) - truth)[middle].mean() < 0.02


def test_the_logistic_is_the_likeliest() -> None:
    """With the targets of Platt: no other slope and intercept nearby has less cross-entropy."""
    scores, correct, _ = drawn(60, 5.0, 3.5)
    positives = correct.sum()
    target = np.where(correct, (positives + 1) / (positives + 2), 1 / (60 - positives + 2))

    def loss(curve: LogisticCurve) -> float:
        result = curve.predict(scores)
        return float(-(target * np.log(result) + (1 - target) * np.log(1 - result)).sum())

    best = fit_logistic(scores, correct)
    for slope, intercept in itertools.product((-0.01, 0.0, 0.01), repeat=2):
        assert loss(best) <= loss(LogisticCurve(best.slope + slope, best.intercept + intercept)) + 1e-9


def test_scores_that_separate_give_no_certainty() -> None:
    scores = np.linspace(-2, -0.1, 40)
    curve = fit_logistic(scores, scores > -1)
    assert 0 < curve.predict(scores).min() < 0.05 and 0.95 < curve.predict(scores).max() < 1
    assert fit_isotonic(scores, scores > -1).predict(np.array([-9.0, 0.0])).min() > 0


@pytest.mark.parametrize("correct", [True, False])
def test_captions_that_are_all_alike(correct: bool) -> None:
    scores = np.linspace(-2, -0.1, 50)
    for values in (scores, np.full(50, -0.7)):
        confidence = fit_logistic(values, np.full(50, correct)).predict(values)
        assert confidence.tolist() == pytest.approx([51 / 52 if correct else 1 / 52] * 50, abs=0.02)


def test_a_score_that_ranks_backwards_gets_a_flat_curve() -> None:
    scores = np.linspace(-2, -0.1, 100)
    curve = fit_logistic(scores, scores < -1)
    assert curve.slope == 0 and curve.predict(scores)[0] == pytest.approx((scores < -1).mean(), abs=0.02)
    assert np.ptp(fit_isotonic(scores, scores < -1).predict(scores)) == 0


@pytest.mark.parametrize("fit", [fit_logistic, fit_isotonic])
def test_an_image_has_no_part_in_its_own_curve(fit: type[Curve]) -> None:
    scores, correct, _ = drawn(100, 5.0, 3.5)
    before = cross_fit(fit, scores, correct)
    other = correct.copy()
    other[7] = not other[7]
    after = cross_fit(fit, scores, other)
    assert after[7] == before[7] and (after != before).any()


def test_bins_by_hand() -> None:
    confidence = np.repeat(np.arange(10) / 10, 4)
    correct = np.tile([True, False, False, False], 10)
    bins = reliability_bins(confidence[::-1], correct[::-1])
    assert [b.confidence for b in bins] == pytest.approx([position / 10 for position in range(10)])
    assert [(b.accuracy, b.captions) for b in bins] == [(0.25, 4)] * 10
    # Distances 0.25 0.15 0.05 0.05 0.15 ... 0.65
    assert expected_calibration_error(bins) == pytest.approx(
        (0.25 + 0.15 + 0.05 + 0.05 + 0.15 + 0.25 + 0.35 + 0.45 + 1.2) / 10
    )


def test_the_interval_of_a_share_is_that_of_wilson() -> None:
    """His example of later textbooks: 15 of 148, 0.0624 to 0.1605."""
    correct = np.zeros(1480, np.bool_)
    correct[:15] = True
    surest = reliability_bins(np.linspace(1, 0, 1480), correct)[-1]
    assert surest.captions == 148
    assert (surest.low, surest.high) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert reliability_bins(np.zeros(50), np.zeros(50, np.bool_))[0].low == 0


def test_chance_calibration_error_of_a_calibrated_model() -> None:
    errors = []
    for seed in range(40):
        _, correct, truth = drawn(500, 5.0, 3.5, seed)
        errors.append(expected_calibration_error(reliability_bins(truth, correct)))
    assert chance_calibration_error(truth) == pytest.approx(np.mean(errors), rel=0.1)


def test_log_loss_by_hand() -> None:
    result = log_loss(np.array([0.8, 0.4]), np.array([True, False]))
    assert result == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert math.isfinite(log_loss(np.array([1.0]), np.array([False])))
