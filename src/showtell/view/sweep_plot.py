"""Plot of a sweep: the best value of each run, and its curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from showtell.files import replacing
from showtell.view.plot_fonts import plot_fonts

BEST, OTHER, GRID = "tab:orange", "tab:blue", "0.9"
MIN_ROWS = 8
"""Keeps some height for the curves."""
MAX_SETTING_LENGTH = 28


class SweepRun(NamedTuple):
    """One combination of settings."""

    settings: tuple[str, ...]
    state: str
    value: float | None
    """Best value of the metric; None if there is none yet, or it is not finite."""
    curve: Mapping[int, float]
    """The metric by epoch, in order."""
    best: bool
    """Whether it is the best run of the sweep."""


def draw_sweep(runs: Sequence[SweepRun], names: Sequence[str], metric: str, picture: Path) -> None:
    """Writes a PNG: on the left the runs, best first, with their settings in columns under `names`; on the right the
    metric on dev by epoch.

    Colour marks the best run only. Rejected: a colour for each run, as two dozen colours cannot be told apart.
    """
    from matplotlib.figure import Figure

    sign = 1 if metric == "loss" else -1
    ranked = sorted(runs, key=lambda run: (run.value is None, sign * (run.value or 0.0)))
    rows = max(len(ranked), MIN_ROWS)
    figure = Figure(figsize=(12, 1.6 + 0.27 * rows), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 4))
    _draw_values(left, ranked)
    labels = _align_columns([names, *(run.settings for run in ranked)])
    left.set_yticks(range(-1, len(ranked)), labels, family=plot_fonts(labels, "monospace"), fontsize=9)
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


def _draw_values(axes: Any, ranked: Sequence[SweepRun]) -> None:
    """A dot for each run, from the top; hollow while the run is not done."""
    for row, run in enumerate(ranked):
        if run.value is None:
            note = "no number" if run.state == "done" else run.state
            axes.annotate(note, (0.02, row), xycoords=axes.get_yaxis_transform(), va="center", color="0.5")
            continue
        colour, done = BEST if run.best else OTHER, run.state == "done"
        axes.axhline(row, color=GRID, linewidth=0.8, zorder=0)
        axes.plot(
            run.value,
            row,
            "o",
            color=colour,
            markerfacecolor=colour if done else "white",
            markersize=6 + 2 * run.best,
        )
        note = f"{run.value:.3f}" + ("" if done else f"  {run.state}")
        axes.annotate(note, (run.value, row), xytext=(8, 0), textcoords="offset points", va="center", fontsize=9)
    axes.margins(x=0.25)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(axis="y", length=0)
    if all(run.value is None for run in ranked):
        axes.set_xticks([])


def _draw_curves(axes: Any, ranked: Sequence[SweepRun]) -> None:
    """The best run is drawn last, on top."""
    for run in reversed(ranked):
        style = {"color": BEST, "linewidth": 2.5} if run.best else {"color": OTHER, "linewidth": 1, "alpha": 0.5}
        label = f"best: {', '.join(map(_truncate, run.settings))}" if run.best else None
        marker = "." if len(run.curve) == 1 else ""  # a run of one epoch has no line
        axes.plot([*run.curve], [*run.curve.values()], marker=marker, label=label, **style)
    axes.grid(color=GRID)
    axes.locator_params(axis="x", integer=True)
    if any(run.best for run in ranked):
        legend = axes.legend(frameon=False)
        for text in legend.get_texts():
            text.set_family(plot_fonts([text.get_text()], "sans-serif"))
    if not any(run.curve for run in ranked):
        axes.set(xticks=[], yticks=[])


def _align_columns(table: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines of monospaced text with aligned columns."""
    truncated = [[_truncate(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*truncated, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)) for row in truncated]


def _truncate(setting: str) -> str:
    """Keeps the end, in which data specs differ."""
    return setting if len(setting) <= MAX_SETTING_LENGTH else f"…{setting[1 - MAX_SETTING_LENGTH :]}"
