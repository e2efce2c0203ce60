"""What a model's scores are worth: the curve that makes confidence of them, and how far that is to be believed.

All but the curve itself is measured with cross-fitting: an image's confidence is what a curve says that was fitted
without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from showtell.metrics.calibration import (
    Bin,
    Logistic,
    calibration_error,
    cross_fit,
    error_by_luck,
    fit_isotonic,
    fit_logistic,
    log_loss,
    reliability,
)
from showtell.metrics.evaluation import Evaluation
from showtell.metrics.intervals import Estimate
from showtell.metrics.ngrams import Booleans, Floats
from showtell.metrics.ranking import rank_correlation
from showtell.metrics.rightness import rightness


class Coverage(NamedTuple):
    """The captions that are at least so sure."""

    least: float
    captions: int
    cider: float
    """Their mean, and `nan` where there are none; as is the share that is right."""
    right: float


class Trust:
    """Of B images."""

    right: Booleans
    """`[B]`"""
    mark: float
    """The CIDEr from which on a caption is right."""
    curve: Logistic
    """Fitted on all images: the one to use."""
    confidence: Floats
    """`[B]`, cross-fitted."""

    def __init__(
        self,
        captions: Mapping[str, str],
        scores: Mapping[str, float],
        references: Mapping[str, Sequence[str]],
        language: str = "en",
    ) -> None:
        """All by the image's name. `scores`: the mean log-probability per word of each caption.

        Raises BadData when the images are not the same, and for one with a single reference; BadConfig for a language
        without rules.
        """
        self._cider = Evaluation(captions, references, language).each["CIDEr"]
        self._scores = np.array([scores[name] for name in captions])
        people = rightness(captions, references, language)
        self.right, self.mark = people.right, people.mark
        self.curve = fit_logistic(self._scores, self.right)
        self.confidence = cross_fit(fit_logistic, self._scores, self.right)

    @property
    def rank(self) -> Estimate:
        """Whether a better score is a better caption: Spearman's correlation with CIDEr."""
        return rank_correlation(self._scores, self._cider)

    @cached_property
    def bins(self) -> list[Bin]:
        return reliability(self.confidence, self.right)

    @property
    def errors(self) -> tuple[float, float]:
        """The calibration error, and what it would be if confidence were exactly true."""
        return calibration_error(self.bins), error_by_luck(self.confidence)

    @property
    def losses(self) -> dict[str, float]:
        """Log-loss by what is taken for confidence."""
        taken = {
            "logistic": self.confidence,
            "isotonic": cross_fit(fit_isotonic, self._scores, self.right),
            "exp(score)": np.exp(self._scores),
            "share": np.full(len(self._scores), self.right.mean()),
        }
        return {name: log_loss(confidence, self.right) for name, confidence in taken.items()}

    def coverage(self, least: float) -> Coverage:
        sure = self.confidence >= least
        if not sure.any():
            return Coverage(least, 0, np.nan, np.nan)
        return Coverage(least, int(sure.sum()), float(self._cider[sure].mean()), float(self.right[sure].mean()))
