"""Captions that are to be scored, as `showtell caption` and `evaluate` and other programs write them.

All forms of `entries`, and the report of `showtell evaluate`:

    {"language": "en", ..., "rows": [{"image": "a.jpg", "caption": "A dog.", "alternatives": ["The dog."]}, ...]}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from showtell.data.entries import Entry, entries_of, entry_of, of_language, parse_whole
from showtell.data.files import read_text
from showtell.errors import BadData


@dataclass(frozen=True)
class Candidate:
    """What was said of one image."""

    name: str
    """As written in the file: a path, a file name or an id."""
    captions: tuple[str, ...]
    """Best first; `("",)` or `()` when the caption is null or blank."""


def read_candidates(file: Path, language: str) -> list[Candidate]:
    """One per row, in the order of the file; rows that say another language are passed over.

    Raises BadData, with the place, for what cannot be read, and when there is nothing in `language`.
    """
    text = read_text(file)
    whole = parse_whole(file, text)
    if isinstance(whole, dict) and isinstance(whole.get("annotations"), list):
        expected = "captions to score; the file with the references is named after the one with the captions"
        raise BadData(file, "references in the form of COCO", expected)
    if _is_report(whole) and "systems" in whole:
        raise BadData(file, "a comparison of several systems", "captions of one; score its report")
    entries = _report_entries(file, whole) if _is_report(whole) else entries_of(file, text, whole)
    return [Candidate(entry.names[0], entry.captions) for entry in of_language(file, entries, language)]


def _is_report(whole: Any) -> bool:
    return isinstance(whole, dict) and isinstance(whole.get("rows"), list)


def _report_entries(file: Path, report: dict[str, Any]) -> Iterator[Entry]:
    language = report.get("language")
    for index, row in enumerate(report["rows"]):
        yield entry_of(f"{file}, rows, index {index}", row, language if isinstance(language, str) else None)
