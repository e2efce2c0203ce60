"""Reading of data for every command: what a reader leaves out is said on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from showtell.terminal import echo

if TYPE_CHECKING:
    from showtell.records import Sample


def read_data(spec: str, languages: Sequence[str]) -> list[Sample]:
    """`read_samples`, with its progress, and with one line on what is left out."""
    from showtell.data.omissions import Omissions
    from showtell.data.spec import read_samples
    from showtell.progress import ProgressReporter

    omissions = Omissions()
    samples = read_samples(spec, languages, omissions, ProgressReporter().stage)
    if summary := omissions.summary():
        hint = f"; `showtell data check {spec}` names all" if omissions.faults else ""
        echo(f"showtell: {summary}{hint}", err=True)
    return samples
