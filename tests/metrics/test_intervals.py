from __future__ import annotations

import math

import numpy as np
import pytest

from showtell.metrics.diversity import vocab_size
from showtell.metrics.intervals import (
    bootstrap_difference,
    bootstrap_estimate,
    bootstrap_weights,
    jackknife_difference,
    jackknife_estimate,
)


def drawn_means(values: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    return np.concatenate([weights @ values for weights in bootstrap_weights(len(values), count, seed)]) / len(values)


def test_every_draw_has_as_many_images_as_there_are() -> None:
    weights = np.concatenate(list(bootstrap_weights(7, 100, 0)))
    assert weights.shape == (100, 7)
    assert set(weights.sum(axis=1)) == {7}
    assert weights.max() > 1  # with replacement


def test_draws_are_the_same_for_the_same_seed_only() -> None:
    first, again, other = (np.concatenate(list(bootstrap_weights(50, 20, seed))) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_many_images_are_drawn_in_parts() -> None:
    parts = list(bootstrap_weights(1_500_000, 3, 0))
    assert [part.shape for part in parts] == [(1, 1_500_000)] * 3


def test_the_interval_of_a_mean_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(0).exponential(size=2000)
    estimate = bootstrap_estimate(values.mean(), drawn_means(values, 4000))
    error = 1.96 * values.std() / math.sqrt(len(values))
    assert estimate.low == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert estimate.high == pytest.approx(values.mean() + error, abs=0.1 * error)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        values = random.exponential(size=150)
        estimate = bootstrap_estimate(values.mean(), drawn_means(values, 400, seed=trial))
        hits += estimate.low <= 1 <= estimate.high
    assert 0.91 <= hits / 400 <= 0.98


def test_p_of_a_mean_difference_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(3).normal(0.05, 1, size=2000)
    values += 0.05 - values.mean()
    result = bootstrap_difference(values.mean(), drawn_means(values, 20_000))
    z = values.mean() / (values.std() / math.sqrt(len(values)))
    assert result.p_value == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.15)
    assert result.low < 0.05 < result.high


def test_without_a_difference_p_is_1() -> None:
    assert bootstrap_difference(0.0, np.zeros(99)).p_value == 1


def test_no_number_of_draws_makes_p_0() -> None:
    assert bootstrap_difference(1.0, np.ones(99)).p_value == pytest.approx(2 / 100)


def test_without_a_difference_p_is_evenly_spread() -> None:
    """Of two equal systems, one in twenty comparisons is significant at 0.05."""
    random = np.random.default_rng(0)
    result = []
    for trial in range(400):
        values = random.normal(size=100)
        result.append(bootstrap_difference(values.mean(), drawn_means(values, 400, seed=trial)).p_value)
    assert 0.02 <= np.mean(np.array(result) < 0.05) <= 0.09
    assert 0.4 <= np.mean(np.array(result) < 0.5) <= 0.6


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=300)
    leave_one_out = (values.sum() - values) / (len(values) - 1)
    estimate = jackknife_estimate(values.mean(), leave_one_out)
    assert estimate.high - estimate.value == pytest.approx(1.96 * values.std(ddof=1) / math.sqrt(300), rel=1e-3)


def test_the_jackknife_of_a_vocabulary_spreads_as_new_samples_do() -> None:
    random = np.random.default_rng(0)
    chances = 1 / np.arange(1, 501)
    chances /= chances.sum()
    words = [str(word) for word in range(500)]
    result = [vocab_size(random.choice(words, size=(200, 8), p=chances).tolist()) for _ in range(200)]
    spread = np.std([corpus_score.value for corpus_score in result])
    errors = [(jackknife_estimate(*corpus_score).high - corpus_score.value) / 1.96 for corpus_score in result]
    assert 0.8 * spread <= np.mean(errors) <= 1.35 * spread  # never much too sure; a little cautious is its nature


def test_a_share_stays_one() -> None:
    estimate = jackknife_estimate(0.75, np.array([0.2, 1.0, 0.9, 1.0]), maximum=1.0)
    assert estimate.high == 1 and estimate.low >= 0


def test_a_jackknifed_difference() -> None:
    leave_one_out = np.random.default_rng(0).normal(2.0, 1 / math.sqrt(99), size=100)  # a standard error of about 1
    result = jackknife_difference(2.0, leave_one_out)
    assert result.p_value == pytest.approx(math.erfc(2 / math.sqrt(2)), rel=0.5)
    assert result.low < 2 < result.high


def test_where_no_image_changes_a_difference_nothing_is_known_of_it() -> None:
    result = jackknife_difference(0.75, np.full(4, 0.75))
    assert result.value == 0.75 and np.isnan([result.low, result.high, result.p_value]).all()
    assert jackknife_difference(0.0, np.zeros(5)).p_value == 1
    assert np.isnan(jackknife_estimate(1.0, np.ones(4), maximum=1.0)[1:]).all()
