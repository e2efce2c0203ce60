"""Caption rows as lines: on the terminal, as JSONL, as CSV."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from showtell.core.sources import ImageInput
from showtell.errors import BadConfig
from showtell.records import Caption, CaptionRow

FORMATS = (".jsonl", ".csv")


def path_of(row: CaptionRow) -> str:
    return row.source.path if isinstance(row.source, ImageInput) else str(row.source)


def is_confident(caption: Caption, min_confidence: float) -> bool:
    """Whether its confidence is at least `min_confidence`; see `core/confidence` for models without a calibration."""
    return caption.confidence >= min_confidence


def as_record(row: CaptionRow, min_confidence: float) -> dict[str, Any]:
    """One row as a JSON object. A caption below `min_confidence` is null; its scores are still given."""
    record: dict[str, Any] = {"image": path_of(row), "caption": None}
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


class RowFile:
    """A JSONL or CSV file of rows, which gets its name only when it is complete.

    Until then it is `NAME.partial`, which remains after an interruption, so that hours of captions are not lost.
    """

    def __init__(self, path: Path, num: int, min_confidence: float, pictures: bool = False) -> None:
        """`pictures`: rows name their attention pictures. Raises BadConfig when the format is unknown or the file
        cannot be written."""
        if path.suffix not in FORMATS:
            raise BadConfig(f"--output {path}: found {path.suffix or 'no ending'}; expected {' or '.join(FORMATS)}")
        if path.is_dir():
            raise BadConfig(f"--output {path}: is a folder; expected a file name")
        self.path, self.partial, self.min_confidence = path, path.with_name(path.name + ".partial"), min_confidence
        # A name that is not UTF-8 becomes a JSON escape that reads back as the same name.
        try:
            self.file: TextIO = self.partial.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        except OSError as error:
            raise BadConfig(f"--output {path}: cannot be written ({error.strerror}); give another place") from error
        self._put = self._jsonl() if path.suffix == ".jsonl" else self._csv(num, ["attention"] if pictures else [])
        self._rows = 0

    def write(self, row: CaptionRow, picture: str | None = None) -> None:
        """`picture`: the name of the attention pictures, before `.attention.png` and `.webp`."""
        record = as_record(row, self.min_confidence)
        self._put(record if picture is None else {**record, "attention": picture})
        self._rows += 1

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        if kind is None:
            self.partial.replace(self.path)
        elif self._rows:
            print(f"showtell: the rows so far are in {self.partial}", file=sys.stderr)
        else:
            self.partial.unlink()

    def _jsonl(self) -> Callable[[dict[str, Any]], None]:
        def write(record: dict[str, Any]) -> None:
            self.file.write(json.dumps(record, ensure_ascii=False) + "\n")

        return write

    def _csv(self, num: int, last: list[str]) -> Callable[[dict[str, Any]], None]:
        more = [f"caption_{n}" for n in range(2, num + 1)]
        columns = ["image", "caption", *more, "score", "confidence", "language", "error", "detail", *last]
        writer = csv.DictWriter(self.file, columns, extrasaction="ignore")
        writer.writeheader()

        def write(record: dict[str, Any]) -> None:
            others = zip(more, record.get("alternatives", []), strict=False)
            writer.writerow({**record, **{name: other["caption"] for name, other in others}})

        return write
