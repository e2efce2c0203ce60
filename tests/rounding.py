"""How far apart two sound float32 computations of the same thing may be.

Tests compare in float64 wherever both sides can be. Where one side is float32 for good (an ONNX graph, a Stepper's
output), its bound is worked out here, for any order of additions and so for any CPU, and not tried out on one.
"""

from __future__ import annotations

import math

import numpy as np

UNIT = 2.0**-24
"""Unit roundoff u: a float32 operation is off by u at most, relative to its result."""
EXP_LOG = 4
"""Vectorised exp and log are off by so many u at most (SLEEF and MKL promise one ulp, which is 2 u; numpy tests for
four ulp in its own float32 kernels, less often than for two)."""


def gamma(operations: int) -> float:
    """n u / (1 - n u): the relative error of n operations in a row (Higham 2002, lemma 3.1)."""
    return operations * UNIT / (1 - operations * UNIT)


def sum_bound(terms: int, magnitude: float) -> float:
    """Of a sum of products, in any order: |error| <= gamma_n sum |a_i b_i| (Higham 2002, equation 3.5).

    `magnitude` is the sum of the absolute values, or more.
    """
    return gamma(terms) * magnitude


def log_softmax_bound(logits: np.ndarray) -> float:
    """Of log-probabilities computed in float32 from float64 `logits` [..., V].

    x - m - log(sum exp(x - m)), where m is the largest x: rounding x costs u max|x| in x and m each; the difference
    x - m, at most 2 max|x|, u of itself; and the sum, relatively, what its terms have (that of x - m and an exp's) and
    V - 1 additions; its logarithm has that absolutely, and log V u of its own; the last difference u of the result.
    """
    largest, words = float(np.abs(logits).max()), logits.shape[-1]
    spread = 2 * largest
    of_term = 2 * largest + spread
    of_sum = of_term + EXP_LOG + words + EXP_LOG * math.log(words)
    return UNIT * (of_term + of_sum + spread + math.log(words))


def network_bound(layers: int, terms: int, magnitude: float) -> float:
    """Of the float32 outputs of a network of `layers` sums of `terms` products each, whose layers neither grow nor
    shrink what they are given, as norms see to it.

    Rounding errors of random sign: sqrt(n) u relative to a sum of n products (Higham & Mary 2019, theorem 2.4), and
    independent from layer to layer, so that they add up as their squares; 4 standard deviations of that. The worst case
    of lemma 3.1 says nothing of a hundred layers.
    """
    return 4 * math.sqrt(layers * terms) * UNIT * magnitude


def assert_rounding(found: np.ndarray, other: np.ndarray, exact: np.ndarray) -> None:
    """`found` is as near to `exact` (float64) as float32 kernels are, of which `other` has the result of one.

    The error of a sum grows with the root of its longest chain of additions; chains of two kernels differ by a factor
    of 64 at most (one running sum, or the 64 partial sums of AVX-512), errors by 8, and twice that for two maxima.
    """
    allowed = 16 * max(np.abs(other - exact).max(), 2 * UNIT * np.abs(exact).max())
    np.testing.assert_allclose(found, exact, rtol=0, atol=allowed)


SCORE_BOUND = network_bound(layers=200, terms=500, magnitude=20.0)
"""Of a caption's score (its mean log-probability), 1.5e-3, when one bundle computes it in batches of two sizes: the
built-in model has 160 convolutions and six Transformer layers, sums of 9 to 2,688 terms, and logits up to 20. Photos
that got mixed up, or a word that was left out, change a score by ten times that and more."""
