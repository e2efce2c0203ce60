"""What a new process waits for before its first caption: imports, hashes, and graphs loaded in several ways.

    python benchmarks/startup.py

Milliseconds of wall and CPU time; medians of 9 rounds, the first one not counted. Each import is that of a new process,
less that of an empty one. "Saved" are graphs that ONNX Runtime has optimised and written before: what a cache of them
could save.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime

from showtell.core.bundle import builtin
from showtell.files import sha256

ROUNDS = 9
GRAPHS = ("encoder.onnx", "decoder.onnx")
IMPORTS = {
    "empty process": "pass",
    "import numpy": "import numpy",
    "import pydantic": "import pydantic",
    "import onnxruntime, with numpy": "import onnxruntime",
    "import typer": "import typer",
    "import showtell.cli.app, with typer": "import showtell.cli.app",
    "import showtell.core.captioner, with all but typer": "import showtell.core.captioner",
}


def session(path: Path, optimise: bool = True, save_to: Path | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if save_to is not None:
        options.optimized_model_filepath = str(save_to)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def in_two_threads(folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: session(folder / name), GRAPHS))


def cpu_seconds() -> float:
    """Of this process and of those that it has started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def cases(model: Path, saved: Path) -> dict[str, Callable[[], Any]]:
    return {
        **{
            name: lambda code=code: subprocess.run([sys.executable, "-c", code], check=True)
            for name, code in IMPORTS.items()
        },
        "sha256 of both graphs": lambda: [sha256(model / name) for name in GRAPHS],
        **{f"session of {name}": lambda name=name: session(model / name) for name in GRAPHS},
        "both, one after the other": lambda: [session(model / name) for name in GRAPHS],
        "both, in two threads": lambda: in_two_threads(model),
        "both, saved": lambda: [session(saved / name, optimise=False) for name in GRAPHS],
    }


def main() -> None:
    model = builtin()
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder)
        for name in GRAPHS:
            session(model / name, save_to=saved / name)
        print(f"saved graphs: {sum((saved / name).stat().st_size for name in GRAPHS) / 1e6:.0f} MB")
        for _ in range(ROUNDS + 1):
            for name, case in cases(model, saved).items():
                cpu, begun = cpu_seconds(), time.perf_counter()
                case()
                times[name].append((1000 * (time.perf_counter() - begun), 1000 * (cpu_seconds() - cpu)))
    print("| | wall ms | CPU ms |\n|---|---|---|")
    medians = {
        name: [statistics.median(column) for column in zip(*each[1:], strict=True)] for name, each in times.items()
    }
    empty = medians.pop("empty process")
    for name, values in medians.items():
        wall, cpu = (v - e for v, e in zip(values, empty, strict=True)) if name in IMPORTS else values
        print(f"| {name} | {wall:.0f} | {cpu:.0f} |")


if __name__ == "__main__":
    main()
