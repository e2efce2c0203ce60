"""A picture of how far confidence is to be believed: what it promises beside what came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from showtell.files import replacing


class Point(NamedTuple):
    """Captions of about the same confidence."""

    confidence: float
    right: float
    low: float
    """From here to `high` is the interval of `right`."""
    high: float


class Panel(NamedTuple):
    """One language."""

    points: Sequence[Point]
    every: Sequence[float]
    """The confidence of each caption."""


def draw_reliability(panels: Mapping[str, Panel], picture: Path) -> None:
    """Write a PNG: for each panel, by its title, the share of right captions by confidence, and below it how many
    captions have such a confidence."""
    figure = Figure(figsize=(0.5 + 4.2 * len(panels), 5), layout="constrained")
    axes = figure.subplots(2, len(panels), sharex=True, squeeze=False, height_ratios=(4, 1))
    for column, (title, panel) in enumerate(panels.items()):
        _draw_points(axes[0, column], panel.points)
        axes[0, column].set_title(title)
        axes[1, column].hist(panel.every, bins=20, range=(0, 1), color="tab:blue", alpha=0.5)
        axes[1, column].set(xlabel="confidence", xlim=(0, 1))
    axes[0, 0].set_ylabel("share of right captions")
    axes[1, 0].set_ylabel("captions")
    for each in axes.flat:
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False, loc="upper left")
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _draw_points(axes: Any, points: Sequence[Point]) -> None:
    axes.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1, label="as promised")
    confidence, right, low, high = (list(column) for column in zip(*points, strict=True))
    # Of shares of 0 and 1 the interval begins or ends at the share, but for rounding.
    below = [max(0.0, share - least) for share, least in zip(right, low, strict=True)]
    above = [max(0.0, most - share) for share, most in zip(right, high, strict=True)]
    label = "tenths of captions"
    axes.errorbar(confidence, right, (below, above), fmt="o-", color="tab:blue", markersize=4, capsize=2, label=label)
    axes.set(ylim=(0, 1))
