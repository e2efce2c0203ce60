"""Calibration curves from scores to probabilities of being correct, and measures of how well calibrated they are.

The curve is **logistic** (Platt 1999, with his smoothed targets): two parameters, which 1,000 captions determine
without overfitting. **Isotonic** regression, which assumes only that the curve never falls, is fitted beside it to
check the logistic shape. On the dev photos of Flickr8k it was no better in either language (cross-fitted log-loss,
logistic and isotonic, mean of 20 folds: English 0.567 and 0.567, Arabic 0.531 and 0.535), and a bundle would have to
store its knots.

What a reranker expects counts beside the score (`calibration_report`). Rejected as further features: length, lowest
word probability, margin to the second caption, first word, score spread. Each one in addition to the score changes
log-loss by less than 0.004 in English and Arabic and the Brier score by about 0.001, where the score alone improves
log-loss by 0.07 and 0.08.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from showtell.metrics.ngrams import Booleans, Floats

N_BINS: Final = 10
N_FOLDS: Final = 5
_MAX_ITERATIONS: Final = 100


class LogisticCurve(NamedTuple):
    slope: float
    intercept: float

    def predict(self, scores: Floats) -> Floats:
        """Scores `[B]` -> probabilities `[B]`."""
        return _sigmoid(self.slope * scores + self.intercept)


class IsotonicCurve(NamedTuple):
    """Linear interpolation between knots."""

    scores: Floats
    probabilities: Floats

    def predict(self, scores: Floats) -> Floats:
        """Scores `[B]` -> probabilities `[B]`."""
        return np.interp(scores, self.scores, self.probabilities)


Curve = LogisticCurve | IsotonicCurve


def fit_logistic(scores: Floats, correct: Booleans) -> LogisticCurve:
    """The maximum-likelihood logistic curve with a slope of at least 0; `scores` and `correct` are `[B]`.

    Platt's targets are not 0 and 1 but (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that scores which separate correct from
    incorrect captions perfectly do not lead to an infinite slope.
    """
    positives = np.count_nonzero(correct)
    targets = np.where(correct, (positives + 1) / (positives + 2), 1 / (len(correct) - positives + 2))
    centre, scale = scores.mean(), scores.std() or 1.0
    design = np.stack([(scores - centre) / scale, np.ones(len(scores))], axis=1)  # [B, 2]
    base_rate = targets.mean()
    weights = np.array([0.0, np.log(base_rate / (1 - base_rate))])
    if np.ptp(scores) > 0:
        weights = _newton(design, targets, weights)
    # The likelihood is concave, so if its maximum has a negative slope, the best allowed slope is 0.
    if weights[0] <= 0:
        return LogisticCurve(0.0, float(np.log(base_rate / (1 - base_rate))))
    return LogisticCurve(float(weights[0] / scale), float(weights[1] - weights[0] * centre / scale))


def _newton(design: Floats, targets: Floats, weights: Floats) -> Floats:
    """Minimises cross-entropy by Newton's method with step halving."""
    loss = _cross_entropy(design @ weights, targets)
    for _ in range(_MAX_ITERATIONS):
        probabilities = _sigmoid(design @ weights)
        hessian = design.T @ (design * (probabilities * (1 - probabilities))[:, None])
        step = np.linalg.solve(hessian + 1e-12 * np.eye(2), design.T @ (probabilities - targets))
        while (new_loss := _cross_entropy(design @ (weights - step), targets)) > loss and np.abs(step).max() > 1e-12:
            step /= 2  # far from the minimum, a full step can overshoot
        if new_loss >= loss:
            break
        weights, loss = weights - step, new_loss
    return weights


def fit_isotonic(scores: Floats, correct: Booleans) -> IsotonicCurve:
    """One knot in the middle of each block of `pool_adjacent_violators`. Each block is smoothed by one pseudo-caption
    with the base rate of all captions, so that no probability is 0 or 1."""
    order = np.argsort(scores)
    values, inverse, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    rates = np.bincount(inverse, correct[order]) / counts
    fitted, block_weights = pool_adjacent_violators(rates, counts.astype(np.float64))
    first = np.flatnonzero(np.diff(fitted, prepend=np.nan))
    last = np.append(first[1:], len(fitted)) - 1
    probabilities = (fitted[first] * block_weights[first] + correct.mean()) / (block_weights[first] + 1)
    return IsotonicCurve((values[first] + values[last]) / 2, np.maximum.accumulate(probabilities))


def pool_adjacent_violators(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The non-decreasing sequence closest to `values` `[N]` in weighted least squares, and the total weight of each
    element's block, both `[N]` (Ayer et al. 1955)."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, size
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        size = 1
        while blocks and blocks[-1][0] >= value:
            mean, block_weight, block_size = blocks.pop()
            value = (mean * block_weight + value * weight) / (block_weight + weight)
            weight, size = weight + block_weight, size + block_size
        blocks.append((value, weight, size))
    means, block_weights, sizes = zip(*blocks, strict=True)
    return np.repeat(np.array(means), sizes), np.repeat(np.array(block_weights), sizes)


def cross_fit(fit: Callable[[Floats, Booleans], Curve], scores: Floats, correct: Booleans, seed: int = 0) -> Floats:
    """Probability of each image from a curve fitted on the other four folds, `[B]`."""
    folds = np.random.default_rng(seed).permutation(len(scores)) % N_FOLDS
    probabilities = np.empty(len(scores))
    for fold in range(N_FOLDS):
        held_out = folds == fold
        probabilities[held_out] = fit(scores[~held_out], correct[~held_out]).predict(scores[held_out])
    return probabilities


def log_loss(confidence: Floats, correct: Booleans) -> float:
    """Mean cross-entropy in nats; lower is better."""
    smallest = np.finfo(np.float64).tiny
    return -float(np.log(np.maximum(smallest, np.where(correct, confidence, 1 - confidence))).mean())


class ReliabilityBin(NamedTuple):
    """Captions of similar confidence."""

    confidence: float
    """Mean confidence."""
    accuracy: float
    """Share of correct captions."""
    low: float
    """Bounds of the accuracy's 95 % interval (Wilson 1927)."""
    high: float
    captions: int


def reliability_bins(confidence: Floats, correct: Booleans) -> list[ReliabilityBin]:
    """Up to ten bins of equally many captions, ascending by confidence (scikit-learn: strategy "quantile")."""
    parts = [part for part in np.array_split(np.argsort(confidence, kind="stable"), N_BINS) if len(part)]
    return [_reliability_bin(confidence[part], correct[part]) for part in parts]


def _reliability_bin(confidence: Floats, correct: Booleans) -> ReliabilityBin:
    count, share, z = len(correct), float(correct.mean()), 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half_width = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low, high = max(0.0, float(centre - half_width)), min(1.0, float(centre + half_width))
    return ReliabilityBin(float(confidence.mean()), share, low, high, count)


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean distance of confidence and accuracy over the captions (ECE, Naeini et al. 2015)."""
    return sum(b.captions * abs(b.confidence - b.accuracy) for b in bins) / sum(b.captions for b in bins)


def chance_calibration_error(confidence: Floats, resamples: int = 200, seed: int = 0) -> float:
    """The expected ECE of a perfectly calibrated model: correctness is drawn from the confidences themselves. It is
    above 0 because the accuracy of a bin with few captions varies."""
    random = np.random.default_rng(seed)
    draws = (random.random(len(confidence)) < confidence for _ in range(resamples))
    return float(np.mean([expected_calibration_error(reliability_bins(confidence, correct)) for correct in draws]))


def _sigmoid(log_odds: Floats) -> Floats:
    probabilities: Floats = np.exp(-np.logaddexp(0, -log_odds))
    return probabilities


def _cross_entropy(log_odds: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0, log_odds) - targets * log_odds).sum())
