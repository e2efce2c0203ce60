"""The measurements of `showtell bench`.

Rates are medians of rounds in which the variants take turns, so that whatever else the machine does meets them all.
Start and memory are those of new processes, as a user starts them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from showtell import __version__
from showtell.bulk.rows import as_record, jsonl_line
from showtell.core.captioner import Captioner
from showtell.core.machine import describe_machine
from showtell.core.runtimes.registry import RUNTIMES
from showtell.core.stage_times import Clock, stage_times
from showtell.errors import ShowtellError
from showtell.records import CaptionRow

ROUNDS: Final = 3
SINGLE_PHOTOS: Final = 7
STARTS: Final = 3
Options = dict[str, str]


@dataclass(frozen=True)
class Workload:
    photos: Sequence[Path]
    is_made_up: bool
    """The photos are none of the user's."""
    model: Path | None = None
    batch_size: int = 32
    threads: int = 0


def variants() -> dict[str, Options]:
    """Options of `Captioner.load` that are compared, by the name of the variant."""
    return {name: {"runtime": name} for name in RUNTIMES}


def measure(workload: Workload, clock: Clock = time.perf_counter) -> dict[str, Any]:
    """What `showtell bench --json` prints: times in seconds, rates in photos per second, memory in bytes.

    A variant that this machine cannot run stands in `left_out` with the reason. Raises the first reason where there is
    no other variant.
    """
    options = variants()
    captioners, failures = _load(workload, options)
    for captioner in captioners.values():  # the first run of a batch allocates memory
        _caption(captioner, workload)
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in captioners}
    for _ in range(ROUNDS):
        for name, captioner in captioners.items():
            rounds[name].append((_rate(captioner, workload, clock), _latency(captioner, workload, clock)))
    rows = []
    for name, captioner in captioners.items():
        rates, latencies = zip(*rounds[name], strict=True)
        stages = stage_times(captioner, workload.photos, workload.batch_size, _write, clock)
        rows.append(
            {
                "name": name,
                "photo_seconds": statistics.median(latencies),
                "photos_per_second": statistics.median(rates),
                "encoder_per_second": 1 / stages["encode"],
                "stage_seconds": stages,
                **_process(workload, options[name], clock),
            }
        )
    return {
        "showtell": __version__,
        "machine": describe_machine(),
        "model": str(workload.model or "built-in"),
        "photos": len(workload.photos),
        "made_up": workload.is_made_up,
        "batch_size": workload.batch_size,
        "beam_size": next(iter(captioners.values())).settings().beam_size,
        "threads": workload.threads,
        "variants": rows,
        "left_out": {name: str(error) for name, error in failures.items()},
    }


def _load(workload: Workload, options: dict[str, Options]) -> tuple[dict[str, Captioner], dict[str, ShowtellError]]:
    captioners: dict[str, Captioner] = {}
    failures: dict[str, ShowtellError] = {}
    for name, chosen in options.items():
        try:
            captioners[name] = Captioner.load(workload.model, workload.threads, runtime=chosen["runtime"])
        except ShowtellError as error:
            failures[name] = error
    if not captioners:
        raise next(iter(failures.values()))
    return captioners, failures


def _caption(captioner: Captioner, workload: Workload) -> None:
    """All photos, to the bytes of their rows. Raises BadImage where a photo has vanished meanwhile."""
    for row in captioner.caption_many(map(str, workload.photos), batch_size=workload.batch_size):
        _write(row)


def _write(row: CaptionRow) -> None:
    jsonl_line(as_record(row, 0.0))


def _rate(captioner: Captioner, workload: Workload, clock: Clock) -> float:
    begin = clock()
    _caption(captioner, workload)
    return len(workload.photos) / (clock() - begin)


def _latency(captioner: Captioner, workload: Workload, clock: Clock) -> float:
    """Median seconds from the file of one photo to its caption."""
    seconds = []
    for photo in itertools.islice(itertools.cycle(workload.photos), SINGLE_PHOTOS):
        begin = clock()
        captioner.caption(photo)
        seconds.append(clock() - begin)
    return statistics.median(seconds)


def _process(workload: Workload, options: Options, clock: Clock) -> dict[str, Any]:
    """A new process to its first caption, and the memory of one that captions all photos."""
    command = [sys.executable, "-m", "showtell", "caption", "--threads", str(workload.threads)]
    command += ["--batch-size", str(workload.batch_size)]
    command += ["--model", str(workload.model)] if workload.model else []
    command += itertools.chain.from_iterable((f"--{name}", value) for name, value in options.items())
    starts = []
    for _ in range(STARTS):
        begin = clock()
        _run([*command, str(workload.photos[0])])
        starts.append(clock() - begin)
    peak = _run([*command, "--null", "-"], workload.photos)
    return {"start_seconds": statistics.median(starts), "peak_memory": peak}


def _run(command: Sequence[str], names: Sequence[Path] = ()) -> int | None:
    """The process's peak memory in bytes; None on a system that does not tell. `names` go to its standard input: a
    command line has a greatest length. Raises ShowtellError when it fails."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:  # it says itself why it has ended
        stdin.write(b"".join(os.fsencode(name) + b"\0" for name in names))
    peak = None
    if hasattr(os, "wait4"):  # not on Windows
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if process.wait():
        raise ShowtellError(f"`{' '.join(command[1:6])} ...` ended with {process.returncode}; its message is above")
    return peak
