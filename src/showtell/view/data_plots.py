"""Plots of a data set: caption lengths, word frequencies, coverage of vocabularies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from showtell.files import replacing
from showtell.view.legend import add_legend, language_colours


def draw_data(
    lengths: Mapping[str, Sequence[int]],
    frequencies: Mapping[str, Sequence[int]],
    coverage: Mapping[str, Sequence[tuple[int, int, float | None]]],
    picture: Path,
) -> None:
    """Writes a PNG. By language: `lengths`, the number of training captions with 0, 1, 2 ... words; `frequencies` of
    words, descending; `coverage`: minimum frequency, vocabulary size, share of dev words in the vocabulary."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    colours = language_colours([*lengths])
    for language, counts in lengths.items():
        share = [100 * count / max(1, sum(counts)) for count in counts]
        last = next(
            (n for n in range(len(share)) if sum(share[n + 1 :]) < 0.2), len(share)
        )  # cuts the tail, 0.2 % of the captions
        left.step(range(last + 1), share[: last + 1], where="mid", label=language, color=colours[language])
    left.set(title="caption length", xlabel="words", ylabel="% of training captions", ylim=(0, None))
    for language, counts in frequencies.items():
        middle.loglog(range(1, len(counts) + 1), counts, label=language, color=colours.get(language))
    middle.set(title="word frequency", xlabel="rank", ylabel="occurrences in training captions")
    for language, rows in coverage.items():
        _draw_coverage(right, language, [row for row in rows if row[2] is not None], colours.get(language))
    right.set(title="vocabulary coverage", xlabel="vocabulary size (label: min. frequency)", ylabel="% of dev words")
    right.margins(x=0.08, y=0.12)  # room for the numbers beside the dots
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    if len(lengths) > 1:
        add_legend(figure, [axes for axes in (left, middle, right) if axes.has_data()])
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _draw_coverage(axes: Any, language: str, rows: Sequence[tuple[int, int, float | None]], colour: Any) -> None:
    words = [size for _, size, _ in rows]
    shares = [100 * (share or 0.0) for _, _, share in rows]
    axes.plot(words, shares, "o-", markersize=4, label=language, color=colour)
    for (min_frequency, size, _), share in zip(rows, shares, strict=True):
        axes.annotate(str(min_frequency), (size, share), textcoords="offset points", xytext=(4, -11), fontsize=8)
