"""Calibration report: the curve from scores to confidence, and how well calibrated that confidence is.

All figures but the curve itself are cross-fitted: the confidence of an image comes from a curve fitted without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from showtell.metrics.calibration import (
    LogisticCurve,
    ReliabilityBin,
    chance_calibration_error,
    cross_fit,
    expected_calibration_error,
    fit_isotonic,
    fit_logistic,
    log_loss,
    reliability_bins,
)
from showtell.metrics.correctness import judge_correctness
from showtell.metrics.evaluation import Evaluation
from showtell.metrics.intervals import Estimate
from showtell.metrics.ngrams import Booleans, Floats
from showtell.metrics.rank_correlation import spearman_estimate

CIDER_WEIGHTS: Final = (0.0, 1.0, 3.0, 10.0, 30.0)
"""Of the expected CIDEr in the evidence, of a model with a reranker; the last is all but the expected CIDEr alone."""


class Coverage(NamedTuple):
    """The captions with at least a given confidence (selective prediction)."""

    min_confidence: float
    captions: int
    cider: float
    """Mean CIDEr of these captions; `nan` where there are none, as is the accuracy."""
    accuracy: float


class CalibrationReport:
    """Of B images."""

    correct: Booleans
    """`[B]`"""
    threshold: float
    """The CIDEr from which on a caption is correct."""
    cider_weight: float
    """Of the expected CIDEr in the evidence; 0 without a reranker."""
    curve: LogisticCurve
    """Fitted on all images: the one to store in the bundle."""
    confidence: Floats
    """`[B]`, cross-fitted."""

    def __init__(
        self,
        captions: Mapping[str, str],
        scores: Mapping[str, float],
        references: Mapping[str, Sequence[str]],
        language: str = "en",
        expected_ciders: Mapping[str, float] | None = None,
    ) -> None:
        """All mappings are by image name. `scores`: mean log-probability per word of each caption. `expected_ciders`:
        of a model with a reranker; the evidence is then the score plus `cider_weight` times these, with the weight of
        CIDER_WEIGHTS that predicts best.

        Raises BadData when the images differ, and for one with a single reference; BadConfig for what is no
        language tag.
        """
        self._cider = Evaluation(captions, references, language).per_image["CIDEr"]
        correctness = judge_correctness(captions, references, language)
        self.correct, self.threshold = correctness.correct, correctness.threshold
        self._scores = np.array([scores[name] for name in captions])
        expected = np.array([expected_ciders[name] for name in captions]) if expected_ciders else None
        self.cider_weight, self._evidence = self._weigh(expected)
        self.curve = fit_logistic(self._evidence, self.correct)
        self.confidence = cross_fit(fit_logistic, self._evidence, self.correct)

    def _weigh(self, expected: Floats | None) -> tuple[float, Floats]:
        """The weight of the expected CIDEr by the cross-fitted log-loss, and the evidence `[B]`."""
        if expected is None:
            return 0.0, self._scores
        tried = {weight: self._scores + weight * expected for weight in CIDER_WEIGHTS}
        losses = {w: log_loss(cross_fit(fit_logistic, e, self.correct), self.correct) for w, e in tried.items()}
        best = min(losses, key=losses.__getitem__)
        return best, tried[best]

    @property
    def rank_correlation(self) -> Estimate:
        """Spearman's correlation of evidence and CIDEr: whether confidence ranks captions."""
        return spearman_estimate(self._evidence, self._cider)

    @cached_property
    def bins(self) -> list[ReliabilityBin]:
        return reliability_bins(self.confidence, self.correct)

    @property
    def calibration_error(self) -> float:
        """ECE."""
        return expected_calibration_error(self.bins)

    @property
    def chance_calibration_error(self) -> float:
        """The ECE that a perfectly calibrated model would have on as many captions."""
        return chance_calibration_error(self.confidence)

    @property
    def log_losses(self) -> dict[str, float]:
        """Log-loss of the logistic curve and of the baselines."""
        confidences = {
            "logistic": self.confidence,
            "isotonic": cross_fit(fit_isotonic, self._evidence, self.correct),
            "exp(score)": np.exp(self._scores),
            "base rate": np.full(len(self._scores), self.correct.mean()),
        }
        return {name: log_loss(confidence, self.correct) for name, confidence in confidences.items()}

    def coverage(self, min_confidence: float) -> Coverage:
        covered = self.confidence >= min_confidence
        if not covered.any():
            return Coverage(min_confidence, 0, np.nan, np.nan)
        accuracy = float(self.correct[covered].mean())
        return Coverage(min_confidence, int(covered.sum()), float(self._cider[covered].mean()), accuracy)
