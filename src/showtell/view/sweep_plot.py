"""A picture of a sweep: what every combination reached, and how it came there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from showtell.files import replacing

BEST, OTHER, GRID = "tab:orange", "tab:blue", "0.9"
FEWEST_ROWS = 8
"""The curves beside them need some height, too."""
LONGEST_SETTING = 28


class Line(NamedTuple):
    """One combination."""

    settings: tuple[str, ...]
    state: str
    value: float | None
    """The metric at its best; None: nothing reached yet, or no number."""
    curve: Mapping[int, float]
    """The metric by epoch, in order."""
    best: bool
    """Whether it is the best of all."""


def draw_sweep(lines: Sequence[Line], names: Sequence[str], metric: str, picture: Path) -> None:
    """Write a PNG: on the left the combinations, best first, with the settings in columns under their `names`; on the
    right the metric on dev by epoch.

    Colours tell the best from the rest and nothing else: of two dozen colours nobody knows which is which.
    """
    from matplotlib.figure import Figure

    sign = 1 if metric == "loss" else -1
    ranked = sorted(lines, key=lambda line: (line.value is None, sign * (line.value or 0.0)))
    rows = max(len(ranked), FEWEST_ROWS)
    figure = Figure(figsize=(12, 1.6 + 0.27 * rows), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 4))
    _draw_values(left, ranked)
    labels = _aligned([names, *(line.settings for line in ranked)])
    left.set_yticks(range(-1, len(ranked)), labels, family="monospace", fontsize=9)
    left.get_yticklabels()[0].set_fontweight("bold")
    left.set(title=f"{metric} on dev, best epoch", ylim=(rows - 0.4, -1.5))
    left.spines["left"].set_visible(False)
    _draw_curves(right, ranked)
    right.set(title=f"{metric} on dev", xlabel="epoch")
    for axes in (left, right):
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _draw_values(axes: Any, ranked: Sequence[Line]) -> None:
    """A dot per combination, from the top; a hollow one may still move."""
    for place, line in enumerate(ranked):
        if line.value is None:
            note = "no number" if line.state == "done" else line.state
            axes.annotate(note, (0.02, place), xycoords=axes.get_yaxis_transform(), va="center", color="0.5")
            continue
        colour, done = BEST if line.best else OTHER, line.state == "done"
        axes.axhline(place, color=GRID, linewidth=0.8, zorder=0)
        axes.plot(
            line.value,
            place,
            "o",
            color=colour,
            markerfacecolor=colour if done else "white",
            markersize=6 + 2 * line.best,
        )
        note = f"{line.value:.3f}" + ("" if done else f"  {line.state}")
        axes.annotate(note, (line.value, place), xytext=(8, 0), textcoords="offset points", va="center", fontsize=9)
    axes.margins(x=0.25)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(axis="y", length=0)
    if all(line.value is None for line in ranked):
        axes.set_xticks([])


def _draw_curves(axes: Any, ranked: Sequence[Line]) -> None:
    """The best one last, so that it lies on top."""
    for line in reversed(ranked):
        style = {"color": BEST, "linewidth": 2.5} if line.best else {"color": OTHER, "linewidth": 1, "alpha": 0.5}
        label = f"best: {', '.join(map(_shortened, line.settings))}" if line.best else None
        marker = "." if len(line.curve) == 1 else ""  # a run of one epoch has no line
        axes.plot([*line.curve], [*line.curve.values()], marker=marker, label=label, **style)
    axes.grid(color=GRID)
    axes.locator_params(axis="x", integer=True)
    if any(line.best for line in ranked):
        axes.legend(frameon=False)
    if not any(line.curve for line in ranked):
        axes.set(xticks=[], yticks=[])


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines of text whose columns stand below each other."""
    short = [[_shortened(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*short, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)) for row in short]


def _shortened(setting: str) -> str:
    """A data spec tells itself from another by its end."""
    return setting if len(setting) <= LONGEST_SETTING else f"…{setting[1 - LONGEST_SETTING :]}"
