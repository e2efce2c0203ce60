"""A row of captions as a record: a JSON object, a line of CSV, a line of JSONL."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any, Final

from showtell.core.sources import ImageInput
from showtell.records import Caption, CaptionRow
from showtell.terminal import escape

Record = dict[str, Any]
SCALARS: Final = ("score", "confidence", "language", "error", "detail")


def path_of(row: CaptionRow) -> str:
    return row.source.path if isinstance(row.source, ImageInput) else str(row.source)


def is_confident(caption: Caption, min_confidence: float) -> bool:
    """Whether its confidence is at least `min_confidence`; see `core/confidence` for models without a calibration."""
    return caption.confidence >= min_confidence


def as_record(row: CaptionRow, min_confidence: float) -> Record:
    """One row as a JSON object. A caption below `min_confidence` is null; its scores are still given."""
    record: Record = {"image": path_of(row), "caption": None}
    if not row.ok:
        return {**record, "error": row.error, "detail": row.detail}
    best, *others = row.captions
    record |= {
        "caption": best.text if is_confident(best, min_confidence) else None,
        "score": round(best.score, 4),
        "confidence": round(best.confidence, 4),
        "language": best.language,
        "words": [[word.text, round(word.log_probability, 4)] for word in best.words],
    }
    if others:
        record["alternatives"] = [
            {
                "caption": c.text if is_confident(c, min_confidence) else None,
                "score": round(c.score, 4),
                "confidence": round(c.confidence, 4),
            }
            for c in others
        ]
    return record


def jsonl_line(record: Record) -> bytes:
    # Escaped, it reads back as the same, and a terminal that shows the file takes no command from a name.
    return _encoded(escape(json.dumps(record, ensure_ascii=False)) + "\n")


def csv_columns(num: int, pictures: bool) -> list[str]:
    """`num`: captions per photo. `pictures`: rows name their attention pictures."""
    more = [f"caption_{n}" for n in range(2, num + 1)]
    return ["image", "caption", *more, *SCALARS, *(["attention"] if pictures else [])]


def csv_cells(record: Record) -> dict[str, Any]:
    others = enumerate(record.get("alternatives", []), start=2)
    return {**record, **{f"caption_{n}": other["caption"] for n, other in others}}


def csv_lines(columns: list[str]) -> Callable[[dict[str, Any] | list[str]], bytes]:
    """A function from cells, by column or in their order, to a line."""
    line = io.StringIO()
    by_name = csv.DictWriter(line, columns, extrasaction="ignore")
    in_order = csv.writer(line)

    def write(cells: dict[str, Any] | list[str]) -> bytes:
        line.seek(0)
        line.truncate()
        if isinstance(cells, dict):
            by_name.writerow(cells)
        else:
            in_order.writerow(cells)
        return _encoded(line.getvalue())

    return write


def _encoded(text: str) -> bytes:
    # A name that is not UTF-8 becomes a JSON escape that reads back as the same name.
    return text.encode("utf-8", "backslashreplace")
