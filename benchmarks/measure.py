"""What every comparison shares: sides that take turns, and a line for each result.

Each side is a process of its own: ONNX Runtime, OpenVINO and torch in one process fight for the cores. Rounds are
interleaved, so that whatever else the machine does meets all sides, and a ratio is the median of the rounds' ratios.
Rejected: the best time of each side, which compares two different moments of the machine.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "pillow", "onnxruntime", "openvino", "torch", "timm", "transformers")

Tasks = dict[str, Callable[[], Any]]


class Side:
    """A process that runs named tasks when asked. `build(threads, *arguments)` returns them there."""

    def __init__(self, build: Callable[..., Tasks], *arguments: Any, threads: int) -> None:
        context = get_context("spawn")
        self._pipe, end = context.Pipe()
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read by numpy and torch when they are loaded
        try:
            self._process = context.Process(target=_serve, args=(end, build, threads, arguments), daemon=True)
            self._process.start()
        finally:
            os.environ.pop("OMP_NUM_THREADS")
            if before is not None:
                os.environ["OMP_NUM_THREADS"] = before
        end.close()  # else a side that fails would be waited for
        self._pipe.recv()

    def run(self, task: str) -> tuple[float, Any]:
        """Seconds, and what the task returned."""
        self._pipe.send(task)
        seconds, result = self._pipe.recv()
        return seconds, result

    def close(self) -> None:
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection, build: Callable[..., Tasks], threads: int, arguments: tuple[Any, ...]) -> None:
    tasks = build(threads, *arguments)
    pipe.send("ready")
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        begin = time.perf_counter()
        result = tasks[task]()
        pipe.send((time.perf_counter() - begin, result))


class Timings(NamedTuple):
    seconds: dict[str, list[float]]
    """By side, one for each round."""
    results: dict[str, Any]
    """By side, of the run before the first round, which warms up."""

    def median(self, side: str) -> float:
        return statistics.median(self.seconds[side])

    def ratio(self, slow: str, fast: str) -> tuple[float, float, float]:
        """How many times as long `slow` takes: median, lowest and highest of the rounds."""
        ratios = [a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)


def interleave(sides: Mapping[str, Side], rounds: int, task: str) -> Timings:
    results = {name: side.run(task)[1] for name, side in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            seconds[name].append(side.run(task)[0])
    return Timings(seconds, results)


def report(
    script: str,
    question: str,
    ratio: tuple[float, float, float],
    ours: tuple[str, float],
    theirs: tuple[str, float],
    unit: str,
    **notes: Any,
) -> None:
    """Print one result as a row of a Markdown table, and append it to results/SCRIPT.jsonl (`save`).

    `ours` and `theirs`: what was measured, and its median in `unit`. `ratio`: median, lowest and highest.
    """
    cells = [
        question,
        f"{ours[0]}: {ours[1]:.4g} {unit}",
        f"{theirs[0]}: {theirs[1]:.4g} {unit}",
        f"**{ratio[0]:.2f}** ({ratio[1]:.2f} to {ratio[2]:.2f})",
        *(f"{name.replace('_', ' ')}: {value}" for name, value in notes.items() if value is not None),
    ]
    print(f"| {' | '.join(cells)} |", flush=True)
    save(
        script,
        {
            "question": question,
            "ratio": {"median": ratio[0], "lowest": ratio[1], "highest": ratio[2]},
            "ours": {"what": ours[0], "median": ours[1]},
            "theirs": {"what": theirs[0], "median": theirs[1]},
            "unit": unit,
            **notes,
        },
    )


def save(script: str, row: Mapping[str, Any]) -> None:
    """Append one line to results/SCRIPT.jsonl, with what it needs to be read later. `load` is the number of processes
    that wanted a core in the last minute: on an idle machine about as many as the sides use."""
    from showtell.core.machine import describe_machine

    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    line = {"date": when, **_rounded(row), "load": load, "machine": describe_machine(PACKAGES)}
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{script}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {name: _rounded(v) for name, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value
