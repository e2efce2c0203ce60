"""Bulk runs without a model: an engine that makes up rows, and a storage that fails or dies at a chosen call."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from showtell.bulk.refusal import run_header
from showtell.bulk.rows import as_record
from showtell.bulk.run import Run, RunOptions, Summary
from showtell.bulk.sinks import SinkOptions, make_sink
from showtell.bulk.storage import Storage
from showtell.core.sources import ImageInput
from showtell.records import Caption, CaptionRow, Word

OUTPUTS = ("rows.jsonl", "rows.csv", "rows.parquet", "sidecar:out", "xmp:out")
PLAIN, ONE_CAPTION = RunOptions(), SinkOptions()
Engine = Callable[[Iterator[ImageInput]], Iterator[CaptionRow]]


def engine(bad: Callable[[str], bool] = lambda key: False) -> Engine:
    """Looks some inputs ahead, as the captioner does; a caption depends on its key alone."""

    def rows(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        waiting: list[ImageInput] = []
        for image in images:
            waiting.append(image)
            if len(waiting) > 2:
                yield row(waiting.pop(0))
        yield from map(row, waiting)

    def row(image: ImageInput) -> CaptionRow:
        if image.error is not None or bad(image.path):
            return CaptionRow(image, error="truncated", detail="found half a photo")
        score = -(zlib.crc32(os.fsencode(image.path)) % 1000) / 500
        caption = Caption(f"a photo of {image.path}", score, 0.5, (Word("a", score),), "en")
        return CaptionRow(image, (caption,))

    return rows


def photos(*numbers: int) -> list[ImageInput]:
    return [ImageInput(f"photos/{number:06d}.jpg") for number in numbers]


def caption(
    output: str,
    images: Iterable[ImageInput],
    *,
    rows: Engine | None = None,
    options: RunOptions = PLAIN,
    sink_options: SinkOptions = ONE_CAPTION,
    storage: Storage | None = None,
    settings: dict[str, Any] | None = None,
    inputs: tuple[str, ...] = ("photos",),
    model: str = "model",
) -> Summary:
    """As `showtell caption --output`, with the parts of `cli/bulk.py` that touch no terminal."""
    storage = storage or QuickStorage()
    sink = make_sink(output, sink_options, storage)
    with Run(sink, output, options, storage, clock=lambda: 0.0) as run:
        run.begin(run_header(sink.kind, "0", [[model]], {"num": 1, **(settings or {})}, inputs))
        for row in (rows or engine())(run.pending(images)):
            run.add(row, as_record(row, 0.0))
        return run.finish()


def tree(folder: Path) -> dict[str, bytes]:
    """The files of an output, and the summary of its ledger; not the ledger itself, which has a line per batch."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "ledger.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class QuickStorage(Storage):
    """Without the wait for the disk, which only matters where the machine may fail."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_all(self, descriptors: Sequence[int]) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


class Killed(BaseException):
    """In place of SIGKILL: nothing after it reaches a file."""


class FailingStorage(Storage):
    """Fails at one call: `before` or `after` it is done, or with `half` of what is written.

    As `kill`, the process has ended: every later call raises as well. With `power`, what was not synced is lost. Else
    the call raises OSError with that number, once.
    """

    def __init__(self, at: int, moment: str = "before", end: str | int = "kill") -> None:
        self.at, self.moment, self.end = at, moment, end
        self.calls, self.is_dead = 0, False
        self.failed: str | None = None
        self._open: dict[int, tuple[Path, int]] = {}
        """Descriptor -> path, and how many bytes of the file are on the disk."""
        self._unsynced: list[tuple[int, int]] = []
        """Of files that were closed with more in them than was on the disk."""

    def _call(self, name: str, do: Callable[[], Any], half: Callable[[], Any] = lambda: None) -> Any:
        if self.is_dead:
            raise Killed
        self.calls += 1
        if self.calls != self.at:
            return do()
        self.failed = name
        if self.moment == "after":
            do()
        elif self.moment == "half":
            half()
        if isinstance(self.end, int):
            raise OSError(self.end, os.strerror(self.end))
        self._die()
        raise Killed

    def _die(self) -> None:
        self.is_dead = True
        for descriptor, synced in [*((key, size) for key, (_, size) in self._open.items()), *self._unsynced]:
            if self.end == "power":
                os.ftruncate(descriptor, min(synced, os.fstat(descriptor).st_size))
            os.close(descriptor)
        self._open, self._unsynced = {}, []

    def open(self, path: Path) -> int:
        def do() -> int:
            descriptor = Storage.open(self, path)
            self._open[descriptor] = path, os.fstat(descriptor).st_size
            return descriptor

        found: int = self._call("open", do)
        return found

    def write(self, descriptor: int, data: bytes) -> None:
        half = data[: len(data) // 2]
        self._call(
            "write",
            lambda: Storage.write(self, descriptor, data),
            lambda: Storage.write(self, descriptor, half),
        )

    def sync(self, descriptor: int) -> None:
        def do() -> None:
            self._open[descriptor] = self._open[descriptor][0], os.fstat(descriptor).st_size

        self._call("sync", do)

    def sync_all(self, descriptors: Sequence[int]) -> None:
        for descriptor in descriptors:
            self.sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        self._call("truncate", lambda: Storage.truncate(self, descriptor, size))

    def close(self, descriptor: int) -> None:
        def do() -> None:
            _, synced = self._open.pop(descriptor)
            if synced < os.fstat(descriptor).st_size:
                self._unsynced.append((os.dup(descriptor), synced))
            Storage.close(self, descriptor)

        with contextlib.suppress(KeyError):
            self._call("close", do)

    def replace(self, source: Path, target: Path) -> None:
        self._call("replace", lambda: Storage.replace(self, source, target))

    def remove(self, path: Path) -> None:
        self._call("remove", lambda: Storage.remove(self, path))

    def make_folder(self, path: Path) -> None:
        self._call("make_folder", lambda: Storage.make_folder(self, path))

    def sync_folder(self, path: Path) -> None:
        self._call("sync_folder", lambda: None)
