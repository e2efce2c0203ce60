"""Rows as a folder of Parquet files, `part-00000.parquet` and so on, each of ROWS_PER_PART rows.

A Parquet file cannot be added to. So the rows of the part that is not full yet are lines of a hidden JSONL file, which
is as durable as any other output; the part is written from them in one piece when they are enough. Where parts begin
depends on the number of rows alone, never on when a run was interrupted.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from showtell.bulk.ledger import Known, State
from showtell.bulk.rows import SCALARS, Record, jsonl_line
from showtell.bulk.sinks import SinkOptions
from showtell.bulk.storage import AppendedFile, Storage, write_file
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, MissingExtra

ROWS_PER_PART = 10_000


class ParquetSink:
    kind = "parquet"
    one_file_each = False

    def __init__(self, path: Path, options: SinkOptions, storage: Storage) -> None:
        """Raises BadConfig when `path` is a file, MissingExtra without pyarrow."""
        self.path, self._storage, self._pictures = path, storage, options.pictures
        self.target = Path(os.path.realpath(path))
        if self.target.is_file():
            raise BadConfig(f"--output {path}: is a file; expected a folder for Parquet files")
        _arrow()
        self._parts = 0
        self._tail: list[Record] = []
        self._journal: AppendedFile | None = None
        self._journal_size = 0
        self._new: list[Path] = []
        self._rows_per_part = ROWS_PER_PART

    def check(self, known: Known, overwrite: bool) -> bool:
        names = {path.name for path in self.target.iterdir()} if self.target.is_dir() else set()
        if known.header is None:
            if names and not overwrite:
                raise BadConfig(
                    f"--output {self.path}: found a folder that is not empty and has no ledger of an earlier run; give "
                    "--overwrite to replace its parts, or another name"
                )
            return False
        if not known.entries:
            return True
        if not names:
            return False
        missing = [part for part in map(self._part, range(known.state.get("parts", 0))) if part.name not in names]
        if missing:
            raise BadConfig(
                f"--output {self.path}: found no {missing[0].name}, which the ledger has: changed since; give "
                "--overwrite to begin anew, or another name"
            )
        return True

    def start(self, known: Known) -> State:
        self._parts, self._journal_size = known.state.get("parts", 0), known.state.get("bytes", 0)
        self._storage.make_folder(self.target)
        self._storage.sync_folder(self.target.parent)
        for path in sorted(self.target.glob("part-*.parquet")):
            if path.name >= self._part(self._parts).name:  # of a run that ended before the ledger knew of it
                self._storage.remove(path)
        for path in sorted(self.target.glob(".rows-*.jsonl")):
            if path != self._journal_path():
                self._storage.remove(path)
        if self._journal_size:
            with self._journal_path().open("rb") as file:
                self._tail = [json.loads(line) for line in file.read(self._journal_size).split(b"\n")[:-1]]
        return {"parts": self._parts, "bytes": self._journal_size}

    def exists(self, image: ImageInput) -> bool:
        return False

    def add(self, image: ImageInput, record: Record) -> None:
        if self._journal is None:
            self._journal = AppendedFile(self._storage, self._journal_path(), self._journal_size)
            self._storage.sync_folder(self.target)
        self._journal.append(jsonl_line(record))
        self._tail.append(record)

    @property
    def is_full(self) -> bool:
        return len(self._tail) >= self._rows_per_part

    def flush(self) -> State:
        if self._journal is not None:
            self._journal.sync()
            self._journal_size = self._journal.size
            if self.is_full:
                self._write_part(self._part(self._parts), self._tail)
                self._storage.sync_folder(self.target)
                self._next_part()
        return {"parts": self._parts, "bytes": self._journal_size}

    def prepare(self, retried: Iterator[tuple[int, Record]]) -> State:
        replacements = dict(retried)
        begin, self._new = 0, []
        for number in range(self._parts):
            rows = _number_of_rows(self._part(number))
            if any(begin <= index < begin + rows for index in replacements):
                table = _read(self._part(number))
                merged = [replacements.get(begin + n, row) for n, row in enumerate(table)]
                self._write_new(number, merged)
            begin += rows
        parts = self._parts
        if self._tail or not parts:  # no row at all is an empty table
            self._write_new(parts, [replacements.get(begin + n, row) for n, row in enumerate(self._tail)])
            parts += 1
        return {"parts": parts, "bytes": 0}

    def publish(self) -> None:
        self.close()
        for path in self._new:
            self._storage.replace(path, self.target / path.name.removeprefix("."))
        self._storage.sync_folder(self.target)

    def clean(self) -> None:
        for path in sorted(self.target.glob(".*")):
            self._storage.remove(path)

    def where(self) -> str:
        return str(self.path)

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _part(self, number: int) -> Path:
        return self.target / f"part-{number:05d}.parquet"

    def _journal_path(self) -> Path:
        return self.target / f".rows-{self._parts:05d}.jsonl"

    def _next_part(self) -> None:
        """The old lines stay until the ledger has the part: `clean` and `start` remove them."""
        self.close()
        if self._parts:
            self._storage.remove(self.target / f".rows-{self._parts - 1:05d}.jsonl")
        self._parts, self._tail, self._journal_size = self._parts + 1, [], 0

    def _write_part(self, path: Path, rows: list[Record]) -> None:
        arrow, parquet = _arrow()
        data = io.BytesIO()
        parquet.write_table(arrow.Table.from_pylist([_cells(row) for row in rows], schema=self._schema()), data)
        write_file(self._storage, path, data.getvalue())

    def _write_new(self, number: int, rows: list[Record]) -> None:
        path = self.target / f".{self._part(number).name}"
        self._write_part(path, rows)
        self._new.append(path)

    def _schema(self) -> Any:
        arrow, _ = _arrow()
        text, number = arrow.string(), arrow.float64()
        other = arrow.struct([("caption", text), ("score", number), ("confidence", number)])
        word = arrow.struct([("word", text), ("log_probability", number)])
        columns = {name: number if name in ("score", "confidence") else text for name in ("image", "caption", *SCALARS)}
        columns |= {"words": arrow.list_(word), "alternatives": arrow.list_(other)}
        return arrow.schema(list({**columns, **({"attention": text} if self._pictures else {})}.items()))


def _cells(record: Record) -> Record:
    """A record as cells; one that was read from a part is returned as it is."""
    cells = {key: _text(value) if isinstance(value, str) else value for key, value in record.items()}
    if words := record.get("words"):
        cells["words"] = [w if isinstance(w, dict) else {"word": w[0], "log_probability": w[1]} for w in words]
    return cells


def _text(value: str) -> str:
    """Bytes of a name that are not UTF-8 become escapes, as in JSON."""
    return value.encode("utf-8", "backslashreplace").decode()


def _number_of_rows(path: Path) -> int:
    rows: int = _arrow()[1].ParquetFile(path).metadata.num_rows
    return rows


def _read(path: Path) -> list[Record]:
    rows: list[Record] = _arrow()[1].ParquetFile(path).read().to_pylist()
    return rows


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("pyarrow", "data") from error
    return pyarrow, pyarrow.parquet
