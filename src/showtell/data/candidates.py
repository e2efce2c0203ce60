"""Captions that are to be scored, as `showtell caption` and `evaluate` and other programs write them.

All formats of `caption_files`, and the report of `showtell evaluate`:

    {"language": "en", ..., "rows": [{"image": "a.jpg", "caption": "A dog.", "alternatives": ["The dog."]}, ...]}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from showtell.data.caption_files import CaptionRecord, parse_document, parse_record, parse_records, select_language
from showtell.data.text_files import decode_text, read_text
from showtell.errors import BadData


@dataclass(frozen=True)
class Candidate:
    """The generated captions of one image."""

    name: str
    """As written in the file: a path, a file name or an id."""
    captions: tuple[str, ...]
    """Best first; `("",)` or `()` when the caption is null or blank."""


def read_candidates(file: Path, language: str, stdin: BinaryIO | None = None) -> list[Candidate]:
    """One per row, in the order of the file; rows in another language are skipped. The file `-` is `stdin`, if given.

    Raises BadData, with the place, for what cannot be read, and when there is nothing in `language`.
    """
    text = read_text(file) if stdin is None or str(file) != "-" else decode_text(file, stdin.read())
    document = parse_document(file, text)
    if isinstance(document, dict) and isinstance(document.get("annotations"), list) and _is_references(document):
        expected = "captions to score; the file with the references is named after the one with the captions"
        raise BadData(file, "references in the form of COCO", expected)
    if _is_report(document) and "systems" in document:
        raise BadData(file, "a comparison of several systems", "captions of one; score its report")
    records = _report_records(file, document) if _is_report(document) else parse_records(file, text, document)
    return [Candidate(record.names[0], record.captions) for record in select_language(file, records, language)]


def _is_references(document: dict[str, Any]) -> bool:
    """Whether it lists images, or has several captions of one."""
    ids = [row.get("image_id") for row in document["annotations"] if isinstance(row, dict)]
    return "images" in document or len(set(map(str, ids))) < len(ids)


def _is_report(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("rows"), list)


def _report_records(file: Path, report: dict[str, Any]) -> Iterator[CaptionRecord]:
    language = report.get("language")
    for index, row in enumerate(report["rows"]):
        yield parse_record(f"{file}, rows, index {index}", row, language if isinstance(language, str) else None)
