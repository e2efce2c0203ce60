"""Colours and the legend of the languages in a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

MAX_INSIDE: Final = 6
"""Languages of a legend in the axes; the legend of more would cover the curves, and push the axes together."""
ROWS: Final = 14


def language_colours(languages: Sequence[str]) -> dict[str, Any]:
    """Of more than twenty languages, some have the same colour."""
    from matplotlib import colormaps

    colours = colormaps["tab10" if len(languages) <= 10 else "tab20"].colors  # type: ignore[attr-defined]
    return {language: colours[number % len(colours)] for number, language in enumerate(languages)}


def add_legend(figure: Any, axes: Sequence[Any]) -> None:
    """For axes with the same languages: in each of them, or once beside them all."""
    if not axes:
        return
    handles, labels = axes[0].get_legend_handles_labels()
    if len(labels) > MAX_INSIDE:
        columns = -(-len(labels) // ROWS)
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8, ncols=columns)
        return
    for ax in axes:
        ax.legend(frameon=False)
