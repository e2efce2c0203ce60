"""Reliability diagram: accuracy by confidence, and a histogram of confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from showtell.files import replacing


class Point(NamedTuple):
    """One bin of captions."""

    confidence: float
    accuracy: float
    low: float
    """Lower bound of the accuracy's interval; `high` is the upper one."""
    high: float


class Panel(NamedTuple):
    """One language."""

    points: Sequence[Point]
    confidences: Sequence[float]
    """Of all captions."""


def draw_reliability_diagram(panels: Mapping[str, Panel], picture: Path) -> None:
    """Writes a PNG: for each panel, by title, the accuracy by confidence, and below it the histogram of confidence."""
    figure = Figure(figsize=(0.5 + 4.2 * len(panels), 5), layout="constrained")
    axes = figure.subplots(2, len(panels), sharex=True, squeeze=False, height_ratios=(4, 1))
    for column, (title, panel) in enumerate(panels.items()):
        _draw_points(axes[0, column], panel.points)
        axes[0, column].set_title(title)
        axes[1, column].hist(panel.confidences, bins=20, range=(0, 1), color="tab:blue", alpha=0.5)
        axes[1, column].set(xlabel="confidence", xlim=(0, 1))
    axes[0, 0].set_ylabel("accuracy (share of correct captions)")
    axes[1, 0].set_ylabel("captions")
    for ax in axes.flat:
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False, loc="upper left")
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _draw_points(axes: Any, points: Sequence[Point]) -> None:
    axes.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1, label="perfectly calibrated")
    confidence, accuracy, low, high = (list(column) for column in zip(*points, strict=True))
    # The interval of an accuracy of 0 or 1 ends at it, up to rounding; matplotlib refuses negative lengths.
    below = [max(0.0, value - bound) for value, bound in zip(accuracy, low, strict=True)]
    above = [max(0.0, bound - value) for value, bound in zip(accuracy, high, strict=True)]
    label = "tenths of the captions"
    axes.errorbar(
        confidence, accuracy, (below, above), fmt="o-", color="tab:blue", markersize=4, capsize=2, label=label
    )
    axes.set(ylim=(0, 1))
