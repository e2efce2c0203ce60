"""Where rows go, chosen by `--output`: one registry of kinds of output.

A sink takes rows in the order of the inputs and makes them durable when it is asked to (`flush`); what it then calls
its state is written to the ledger, and is all that it is given to go on from. It knows nothing of models and sources.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from showtell.bulk.ledger import Known, State
from showtell.bulk.rows import Record
from showtell.bulk.storage import Storage
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig
from showtell.files import is_stream


class Sink(Protocol):
    kind: str
    """The name of its kind in the ledger."""
    target: Path
    """Ledger and lock are beside it, and are named after it."""
    one_file_each: bool
    """Each row is a file of its own, which is replaced at once; else the rows of a retry are merged at the end."""

    def check(self, known: Known, overwrite: bool) -> bool:
        """Whether the output has what the ledger knows of; False where it is gone, or begins. Changes nothing.

        Raises BadConfig for an output that is not of the ledger's run.
        """

    def start(self, known: Known) -> State:
        """Go back to what the ledger knows of; nothing, where the run begins. Called once, before the rest. Returns
        the state as it is, which may be the one that was being published."""

    def exists(self, image: ImageInput) -> bool:
        """Whether the input has an output of another run."""

    def add(self, image: ImageInput, record: Record) -> None: ...

    @property
    def is_full(self) -> bool:
        """Whether `flush` must come before the next row."""

    def flush(self) -> State:
        """All rows are on the disk."""

    def prepare(self, retried: Iterator[tuple[int, Record]]) -> State:
        """Make the final files under temporary names, with the retried rows in place of those at their index."""

    def publish(self) -> None:
        """Give the final files their names. May be done again."""

    def clean(self) -> None:
        """Remove what the finished output does not need."""

    def where(self) -> str:
        """The place of the rows so far."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class SinkOptions:
    """What some kinds of output need to know."""

    num: int = 1
    pictures: bool = False
    prefix: str = ""
    suffix: str = ""
    inputs: tuple[str, ...] = ()
    """The inputs as they were given; no output may be one of them."""


Maker = Callable[[str, SinkOptions, Storage], Sink]


def _lines(name: str, options: SinkOptions, storage: Storage) -> Sink:
    from showtell.bulk.line_sink import LineSink

    return LineSink(Path(name), options, storage)


def _parquet(name: str, options: SinkOptions, storage: Storage) -> Sink:
    from showtell.bulk.parquet_sink import ParquetSink

    return ParquetSink(Path(name), options, storage)


def _sidecars(name: str, options: SinkOptions, storage: Storage) -> Sink:
    from showtell.bulk.sidecar_sink import SidecarSink

    return SidecarSink(name, options, storage)


BY_SUFFIX: Final[dict[str, Maker]] = {".jsonl": _lines, ".csv": _lines, ".parquet": _parquet}
BY_WORD: Final[dict[str, Maker]] = {"sidecar": _sidecars, "xmp": _sidecars}
EXPECTED: Final = "expected .jsonl or .csv, .parquet (a folder), sidecar, sidecar:DIR, xmp or xmp:DIR"


def make_sink(name: str, options: SinkOptions, storage: Storage) -> Sink:
    """The sink of `--output NAME`. Raises BadConfig for a name of no kind, or that is no place for one."""
    word, colon, folder = name.partition(":")
    if word in BY_WORD:
        if colon and not folder:
            raise BadConfig(f"--output {name}: found no folder; expected {word} or {word}:DIR")
        return BY_WORD[word](name, options, storage)
    if options.prefix or options.suffix:
        raise BadConfig(f"found --prefix or --suffix with --output {name}; expected --output sidecar")
    suffix = Path(name).suffix.lower()
    if suffix not in BY_SUFFIX:
        raise BadConfig(f"--output {name}: found {Path(name).suffix or 'no ending'}; {EXPECTED}")
    return BY_SUFFIX[suffix](name, options, storage)


def check_file_name(path: Path, target: Path, inputs: Sequence[str]) -> None:
    """Raises BadConfig where a file of rows must not be written to `path`, which leads to `target`."""
    if path.is_dir():
        raise BadConfig(f"--output {path}: is a folder; expected a file name")
    if not path.exists() or is_stream(path):
        return
    if target.suffix.lower() != path.suffix.lower():
        raise BadConfig(f"--output {path}: is a link to {target}; expected a link to a {path.suffix} file")
    check_no_input(path, inputs)


def check_no_input(path: Path, inputs: Sequence[str]) -> None:
    for name in inputs:
        with contextlib.suppress(OSError, ValueError):
            if os.path.samefile(path, name):  # noqa: PTH121 (a name may be any text)
                raise BadConfig(f"--output {path}: is one of the inputs ({name}); expected another name")
