"""Rows as lines of one JSONL or CSV file, which gets its name when it is complete; until then it is NAME.partial.

Rows are written as they come, and are on the disk at the next commit. When a finished file gets more rows, they go to a
copy of it, so that whoever reads the file never finds it half-written.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from showtell.bulk.ledger import Known, State
from showtell.bulk.rows import Record, csv_cells, csv_columns, csv_lines, jsonl_line
from showtell.bulk.sinks import SinkOptions, check_file_name
from showtell.bulk.storage import AppendedFile, Storage
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig
from showtell.files import beside

_COPY_BYTES = 1 << 20


class LineSink:
    one_file_each = False
    is_full = False

    def __init__(self, path: Path, options: SinkOptions, storage: Storage) -> None:
        """Raises BadConfig when `path` is a folder or an input."""
        self.path, self._storage = path, storage
        self.target = Path(os.path.realpath(path))
        check_file_name(path, self.target, options.inputs)
        self.kind = path.suffix.lower().removeprefix(".")
        self.partial = beside(self.target, ".partial")
        self._columns = csv_columns(options.num, options.pictures)
        self._csv = csv_lines(self._columns)
        self._file: AppendedFile | None = None
        self._rows_in, self._size = self.partial, 0  # where the rows so far are, and how many bytes
        self._merged: Path | None = None

    def check(self, known: Known, overwrite: bool) -> bool:
        sizes = {path: path.stat().st_size for path in (self.partial, self.target) if path.is_file()}
        if known.header is None:
            for path, size in sizes.items():
                if size and not overwrite:
                    raise BadConfig(
                        f"--output {self.path}: found {path} without a ledger of an earlier run, so that it cannot be "
                        "continued; give --overwrite to replace it, or another name"
                    )
            return False
        if not known.entries:
            return True
        if not sizes:
            return False
        if self._place(known) is None:
            path, size = next(iter(sizes.items()))
            expected = known.state.get("bytes", 0)
            raise BadConfig(
                f"--output {self.path}: found {size} bytes in {path}, where the ledger has {expected}: changed since; "
                "give --overwrite to begin anew, or another name"
            )
        return True

    def start(self, known: Known) -> State:
        self._rows_in, self._size = self._place(known) or (self.partial, 0)
        return {"bytes": self._size}

    def exists(self, image: ImageInput) -> bool:
        return False

    def add(self, image: ImageInput, record: Record) -> None:
        self._opened().append(self._line(record))

    def flush(self) -> State:
        if self._file is not None:
            self._check_in_place(self._file)
            self._file.sync()
            self._size = self._file.size
        return {"bytes": self._size}

    def prepare(self, retried: Iterator[tuple[int, Record]]) -> State:
        first = next(retried, None)
        if first is None:
            if self._rows_in == self.partial:
                self._opened()  # no row at all is a file as well
            return self.flush()
        self.flush()
        replacements = dict([first, *retried])
        merged = AppendedFile(self._storage, beside(self.target, ".merged", "."), 0)
        self._merged = merged.path
        try:
            for number, line in enumerate(self._lines(), start=0 if self.kind == "jsonl" else -1):
                merged.append(self._line(replacements[number]) if number in replacements else line)
            merged.sync()
        finally:
            merged.close()
        return {"bytes": merged.size}

    def publish(self) -> None:
        self.close()  # Windows renames no open file
        if self._merged is not None:
            self._storage.replace(self._merged, self.target)
            self._storage.sync_folder(self.target.parent)
            self._storage.remove(self.partial)
        elif self._rows_in == self.partial:
            self._storage.replace(self.partial, self.target)
            self._storage.sync_folder(self.target.parent)
        self._rows_in = self.target

    def clean(self) -> None:
        pass

    def where(self) -> str:
        """Copies the rows to the folder for temporary files when theirs has been removed."""
        if self._file is not None and self._file.descriptor >= 0 and not self._file.is_in_place():
            return str(self._rescued(self._file))
        return str(self._rows_in)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _place(self, known: Known) -> tuple[Path, int] | None:
        """The file that has the rows that the ledger knows of, and their bytes."""
        size = known.state.get("bytes", 0)
        if self.partial.is_file() and self.partial.stat().st_size >= size:
            return self.partial, size
        sizes = [state.get("bytes", 0) for state in (known.publishing, known.state) if state is not None]
        found = self.target.stat().st_size if self.target.is_file() else None
        return (self.target, found) if found is not None and found in sizes else None

    def _opened(self) -> AppendedFile:
        if self._file is None:
            if self._rows_in == self.target:
                self._copy_to_partial()
            self._file = AppendedFile(self._storage, self.partial, self._size)
            self._rows_in = self.partial
            self._storage.sync_folder(self.partial.parent)
            if self._size == 0 and self.kind == "csv":
                self._file.append(self._csv(self._columns))
        return self._file

    def _copy_to_partial(self) -> None:
        copy = AppendedFile(self._storage, beside(self.target, ".copy", "."), 0)
        try:
            with self.target.open("rb") as file:
                while block := file.read(min(_COPY_BYTES, self._size - copy.size)):
                    copy.append(block)
            copy.sync()
        finally:
            copy.close()
        self._storage.replace(copy.path, self.partial)

    def _line(self, record: Record) -> bytes:
        return jsonl_line(record) if self.kind == "jsonl" else self._csv(csv_cells(record))

    def _lines(self) -> Iterator[bytes]:
        """The rows so far, and the header of a CSV file."""
        with self._rows_in.open("rb") as file:
            if self.kind == "jsonl":
                yield from file
            else:  # a name may have a line break in it
                reader: Any = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
                yield from map(self._csv, reader)

    def _check_in_place(self, file: AppendedFile) -> None:
        if not file.is_in_place():
            raise FileNotFoundError(errno.ENOENT, f"{file.path} was moved or removed")

    def _rescued(self, file: AppendedFile) -> Path:
        handle, name = tempfile.mkstemp(prefix="showtell-", suffix=self.target.suffix)
        with open(handle, "wb") as copy, open(os.dup(file.descriptor), "rb") as rows:  # noqa: PTH123 (descriptors)
            rows.seek(0)
            shutil.copyfileobj(rows, copy)
        return Path(name)
