"""Caption rows as lines of a JSONL or CSV file that is written in one go, or of a pipe.

`showtell caption` writes its files in `bulk`, which can go on after an interruption.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from showtell.bulk.rows import Record, as_record, csv_cells, csv_columns, csv_lines, jsonl_line
from showtell.bulk.sinks import check_file_name
from showtell.cli import signals
from showtell.errors import BadConfig, OutputClosed, OutputError
from showtell.files import beside, is_stream
from showtell.locks import Locked, locked
from showtell.records import CaptionRow
from showtell.terminal import echo, escape, write_all

FORMATS = (".jsonl", ".csv")


class RowFile:
    """A JSONL or CSV file of rows, which gets its name only when it is complete.

    Until then it is `NAME.partial`, which remains after an interruption, so that hours of captions are not lost; it
    always ends with a whole row. What an earlier run left there stays, and this run takes `NAME.partial-2`. A second
    run with the same output at the same time is refused. A device or a pipe has no other name, and is written directly.
    """

    def __init__(
        self, path: Path, num: int, min_confidence: float, pictures: bool = False, inputs: Sequence[str] = ()
    ) -> None:
        """`pictures`: rows name their attention pictures. `inputs`: files that are read meanwhile.

        Raises BadConfig when the format is unknown, when the file is an input or is written by another run, and when it
        cannot be written.
        """
        self.path, self.min_confidence = path, min_confidence
        self._target = Path(os.path.realpath(path))
        _check_name(path, self._target, inputs)
        self._is_stream = is_stream(path)
        self._rows, self._end, self._told = 0, 0, False
        with contextlib.ExitStack() as stack:
            try:
                if self._is_stream:
                    self.partial, self._file = path, os.open(path, os.O_WRONLY)
                    stack.callback(self._close)
                else:
                    is_locked = stack.enter_context(locked(beside(self._target, ".lock", ".")))
                    with signals.held():
                        self.partial, self._file = _new_partial(self._target, is_locked)
                        stack.callback(self._close)
                        stack.callback(self._remove_if_empty)
            except Locked as error:
                raise BadConfig(
                    f"--output {path}: another run is writing it; wait until it ends, or give another name"
                ) from error
            except OSError as error:
                raise BadConfig(f"--output {path}: cannot be written ({error.strerror}); give another place") from error
            self._line = self._lines(csv_columns(num, pictures))
            signals.last_words.append(self._where)
            stack.callback(signals.last_words.remove, self._where)
            self._release = stack.pop_all().close

    def write(self, row: CaptionRow, picture: str | None = None) -> None:
        """`picture`: the name of the attention pictures, before `.attention.png` and `.webp`. Raises OutputError when
        the disk takes no more, with the place of the rows so far."""
        record = as_record(row, self.min_confidence)
        with signals.held():
            self._append(self._line(record if picture is None else {**record, "attention": picture}))
            self._rows += 1

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with signals.held():
            try:
                if kind is None:
                    self._finish()
                elif self._rows and not self._told:
                    echo(f"showtell: {self._where()}", err=True)
            finally:
                self._release()

    def _finish(self) -> None:
        if self._is_stream:
            return
        try:
            os.fsync(self._file)
            if not self._is_in_place():
                raise FileNotFoundError(errno.ENOENT, f"{self.partial} was moved or removed")
            self._close()  # Windows renames no open file
            self.partial.replace(self._target)
        except OSError as error:
            raise self._problem(error) from error
        if signals.is_due():
            echo(f"showtell: all rows are in {self.path}", err=True)

    def _where(self) -> str | None:
        if not self._rows:
            return None
        if self._is_stream:
            return f"{self._rows} rows went to {self.path}"
        if not self._is_in_place():
            self._rescue()
        return escape(f"the rows so far are in {self.partial}")

    def _is_in_place(self) -> bool:
        """Whether `partial` is still the file that this run writes: folders are moved and removed."""
        try:
            return self._file < 0 or os.path.samestat(self.partial.stat(), os.fstat(self._file))
        except OSError:
            return False

    def _remove_if_empty(self) -> None:
        if not self._rows and not self._is_stream and self._file >= 0 and self._is_in_place():
            self.partial.unlink()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _rescue(self) -> None:
        """Copy the rows to the folder for temporary files."""
        handle, name = tempfile.mkstemp(prefix="showtell-", suffix=self.path.suffix)
        with open(handle, "wb") as copy:  # noqa: PTH123 (a descriptor)
            for begin in range(0, self._end, 1 << 20):
                os.lseek(self._file, begin, os.SEEK_SET)
                copy.write(os.read(self._file, min(1 << 20, self._end - begin)))
        self.partial = Path(name)

    def _append(self, data: bytes) -> None:
        try:
            write_all(self._file, data)
        except BrokenPipeError as error:
            raise OutputClosed(f"{self.path}: closed by its reader") from error
        except OSError as error:
            if not self._is_stream:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._end)  # every row that is kept is whole
            raise self._problem(error) from error
        self._end += len(data)

    def _problem(self, error: OSError) -> OutputError:
        self._told = True
        try:
            where = self._where() or ""
        except OSError:  # no room for a copy either
            where = "the rows are lost"
        return OutputError.of(f"--output {self.path}", error, where)

    def _lines(self, columns: list[str]) -> Callable[[Record], bytes]:
        if self.path.suffix.lower() == ".jsonl":
            return jsonl_line
        lines = csv_lines(columns)
        self._append(lines(columns))
        return lambda record: lines(csv_cells(record))


def _check_name(path: Path, target: Path, inputs: Sequence[str]) -> None:
    if path.suffix.lower() not in FORMATS:
        raise BadConfig(f"--output {path}: found {path.suffix or 'no ending'}; expected {' or '.join(FORMATS)}")
    check_file_name(path, target, inputs)


def _new_partial(target: Path, is_locked: bool) -> tuple[Path, int]:
    """A new file of this run's own; those of interrupted runs are named and left alone. Raises OSError."""
    before = None
    for number in itertools.count(1):
        partial = beside(target, ".partial" if number == 1 else f".partial-{number}")
        if is_locked and partial.is_file() and partial.stat().st_size == 0:
            partial.unlink()  # of a run that was killed before its first row
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        except FileExistsError:
            before = partial
            continue
        if before is not None:
            echo(f"showtell: the rows of an interrupted run stay in {before}; this run begins anew", err=True)
        return partial, descriptor
    raise AssertionError
