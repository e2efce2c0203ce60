"""Spearman against the textbook, by hand and with ties."""

from __future__ import annotations

import math

import numpy as np
import pytest

from showtell.metrics.rank_correlation import rankdata, spearman, spearman_estimate


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_equal_values_share_the_mean_of_their_places() -> None:
    assert rankdata(array(7, 3, 7, 1, 7)).tolist() == [4, 2, 4, 1, 4]


def test_the_textbook_formula_without_ties() -> None:
    """1 - 6 sum(d^2) / (n (n^2 - 1))"""
    one, other = array(86, 97, 99, 100, 101, 103, 106, 110, 112, 113), array(2, 20, 28, 27, 50, 29, 7, 17, 6, 12)
    # Places 1 to 10 and 1 6 8 7 10 9 3 5 2 4: d^2 = 0 16 25 9 25 9 16 9 49 36, their sum 194.
    assert spearman(one, other) == pytest.approx(1 - 6 * 194 / 990)


def test_with_ties_by_hand() -> None:
    # Places 1, 2.5, 2.5, 4 and 1.5, 1.5, 3, 4; less their mean 2.5: -1.5, 0, 0, 1.5 and -1, -1, 0.5, 1.5.
    expected = (1.5 + 2.25) / math.sqrt((2 * 2.25) * (1 + 1 + 0.25 + 2.25))
    assert spearman(array(10, 20, 20, 30), array(5, 5, 6, 7)) == pytest.approx(expected)


def test_only_the_order_counts() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert spearman(values, np.exp(values)) == pytest.approx(1)
    assert spearman(values, -(values**3)) == pytest.approx(-1)


def test_what_has_no_order_has_no_correlation() -> None:
    assert math.isnan(spearman(array(1, 1, 1), array(1, 2, 3)))
    assert all(map(math.isnan, spearman_estimate(array(1, 1, 1), array(1, 2, 3))))
    assert math.isnan(spearman(array(1), array(2)))


def test_the_interval_is_that_of_fisher() -> None:
    """Of two normal variables, atanh of the correlation has an error of about 1.03 / sqrt(n - 3)."""
    random = np.random.default_rng(1)
    one = random.normal(size=500)
    result = spearman_estimate(one, one + random.normal(size=500))
    width = 1.96 * 1.03 / math.sqrt(497)
    assert math.atanh(result.low) == pytest.approx(math.atanh(result.value) - width, abs=0.25 * width)
    assert math.atanh(result.high) == pytest.approx(math.atanh(result.value) + width, abs=0.25 * width)
    assert spearman_estimate(one[:3], one[:3]).high == pytest.approx(1)  # draws of one image alone are passed over
