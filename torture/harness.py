"""What the parts share: cases in chunks, in a process of their own; progress that survives an interruption; a table.

A chunk runs in another process, which says what it is about to do. If that process ends, the case is a crash; if it
says nothing for HANG_SECONDS, it is a hang. Either way the next chunk runs in a new one. A result depends on the code
alone: the folder of progress has a hash of all sources in its name, so that no result outlives a change.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from showtell.core.machine import describe_machine
from showtell.files import write_text

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = Path(__file__).parent / "results"
PROGRESS: Final = ROOT / "runs" / "torture"
HANG_SECONDS: Final = 120.0
"""Without a word from the process. Far above the limit of a case, which is in seconds of the processor."""
SHOWN: Final = 20
"""Failures that are printed; all are in the line of `results`."""

Note = Callable[[str], None]
"""Says which case begins."""


@dataclass
class Tally:
    """What came of some cases."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """One line each: the case, what was found, what was expected."""
    worst: dict[str, float] = field(default_factory=dict)
    """The highest of each measurement."""

    def measure(self, name: str, value: float) -> None:
        self.worst[name] = max(self.worst.get(name, value), value)

    def fail(self, case: str, found: str) -> None:
        self.failures.append(f"{case}: {' '.join(found.split())}")

    def add(self, other: Tally) -> None:
        self.counts.update(other.counts)
        self.failures += other.failures
        for name, value in other.worst.items():
            self.measure(name, value)


Chunk = Callable[[int, Note], Tally]
"""A function of the number of a chunk. Named as `module:function`, since it runs in another process."""


def run_chunks(part: str, chunk: str, numbers: Sequence[int], progress: Path | None = None) -> Tally:
    """Run those chunks that are not done yet; returns the tally of all of them."""
    folder = (progress or PROGRESS) / f"{part}-{sources_hash()}"
    folder.mkdir(parents=True, exist_ok=True)
    total, worker = Tally(), Worker(chunk)
    begin = time.monotonic()
    try:
        for done, number in enumerate(numbers, start=1):
            file = folder / f"{number:06d}.json"
            if not file.exists():
                write_text(file, json.dumps(vars(worker.run(number))))
            stored = json.loads(file.read_text(encoding="utf-8"))
            total.add(Tally(Counter(stored["counts"]), stored["failures"], stored["worst"]))
            if done % max(1, len(numbers) // 20) == 0 or done == len(numbers):
                minutes = (time.monotonic() - begin) / 60
                print(f"{part}: {done}/{len(numbers)}, {len(total.failures)} failures, {minutes:.1f} min", flush=True)
    except BaseException:
        worker.kill()
        raise
    worker.close()
    return total


class Worker:
    """The other process, started anew after a crash or a hang."""

    def __init__(self, chunk: str, hang_seconds: float = HANG_SECONDS) -> None:
        self._chunk, self._hang_seconds = chunk, hang_seconds
        self._process: Any = None

    def run(self, number: int) -> Tally:
        if self._process is None:
            self._start()
        self._pipe.send(number)
        at = f"chunk {number}"
        while True:
            if not self._pipe.poll(self._hang_seconds):
                return self._broken(at, f"hangs: nothing for {self._hang_seconds:g} s")
            try:
                word = self._pipe.recv()
            except (EOFError, ConnectionError):
                self._process.join()
                return self._broken(at, f"the process ended with code {self._process.exitcode}")
            if isinstance(word, Tally):
                return word
            at = word

    def close(self) -> None:
        """Once it has nothing to do."""
        if self._process is not None:
            self._pipe.close()
            self._process.join()
            self._process = None

    def kill(self) -> None:
        """With all that it has started, such as a server."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()  # where it was killed before it had a group of its own
            self.close()

    def _broken(self, at: str, found: str) -> Tally:
        self.kill()
        return Tally(Counter(["crashes or hangs"]), [f"{at}: {found}"])

    def _start(self) -> None:
        context = get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end, self._chunk), daemon=True)
        self._process.start()
        end.close()  # else the end of the process would not be noticed


def _serve(pipe: Connection, chunk: str) -> None:
    os.setpgid(0, 0)
    module, _, name = chunk.partition(":")
    function: Chunk = getattr(import_module(module), name)
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        pipe.send(function(number, pipe.send))


def sources_hash() -> str:
    """Of all code that a result depends on."""
    digest = hashlib.sha256()
    for folder in ("torture", "src/showtell", "tests", "benchmarks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def report(part: str, title: str, tally: Tally, rows: Iterable[tuple[str, object]], results: Path = RESULTS) -> int:
    """Print a table, append a line to `results`, and return the exit code: 1 where anything failed."""
    cells = [*rows, ("failures", len(tally.failures))]
    print(f"\n{title}\n\n| | |\n|---|---|")
    for name, value in cells:
        print(f"| {name} | {value} |")
    for line in tally.failures[:SHOWN]:
        print(f"FAILED {line}", file=sys.stderr)
    if len(tally.failures) > SHOWN:
        print(f"and {len(tally.failures) - SHOWN} more", file=sys.stderr)
    entry = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "title": title,
        **dict(cells),
        "failed": tally.failures,
        "load": os.getloadavg()[0],
        "machine": describe_machine(),
    }
    results.mkdir(exist_ok=True)
    with (results / f"{part}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
    return 1 if tally.failures else 0


def number_of_cases(docstring: str | None, default: int, smallest: int = 1) -> int:
    """`--n` of the command line."""
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=default, help=f"how many (default {default})")
    n: int = parser.parse_args().n
    if n < smallest:
        parser.error(f"found --n {n}; expected {smallest} or more")
    return n


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="torture-")
