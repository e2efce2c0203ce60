"""`auto`: the runtime that encodes photos fastest on this machine.

Each one that is here encodes a few made-up photos; it takes a few seconds, and is remembered by bundle, processor and
versions in the user's cache folder. The decoder is ONNX Runtime's with all of them but `cuda`. Rejected: a rule by
processor. OpenVINO in float32 was 0.75 times as fast as ONNX Runtime on one machine, and in bfloat16 twice as fast on
another.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from showtell.core.machine import available_cores, describe_machine, processor
from showtell.core.runtimes.registry import RUNTIMES, Runtime
from showtell.errors import ShowtellError
from showtell.files import write_text

IMAGES: Final = 4
RUNS: Final = 3
FILE: Final = "runtimes.json"


@dataclass(frozen=True)
class Choice:
    name: str
    seconds: dict[str, float]
    """Of one image, by runtime."""
    failed: dict[str, str]
    """Why a runtime that seems to be here could not encode, by runtime."""

    def __str__(self) -> str:
        times = ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in sorted(self.seconds.items(), key=_seconds))
        failed = "".join(f"; {name}: {reason}" for name, reason in self.failed.items())
        return f"runtime {self.name} (encoding a photo: {times}{failed})"


def fastest(
    encoder: Path,
    threads: int,
    fingerprint: Iterable[str],
    cache: Path,
    runtimes: Iterable[Runtime] = tuple(RUNTIMES.values()),
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """`fingerprint`: what tells the bundle from others. `cache`: the folder for what is known already. Raises the first
    runtime's error where none can load the encoder."""
    here = [runtime for runtime in runtimes if runtime.is_here()]
    libraries = describe_machine(("onnxruntime", "onnxruntime-gpu", "openvino"))["versions"]
    facts = [*fingerprint, threads, available_cores(), processor(), libraries]
    key = hashlib.sha256(json.dumps([*facts, [runtime.name for runtime in here]]).encode()).hexdigest()
    known = _read(cache / FILE)
    try:
        return Choice(**known[key])
    except (KeyError, TypeError):  # not known, or written by another version
        pass
    choice = _measure(here, encoder, threads, clock)
    if choice.failed:  # a card that is busy now is not so for ever
        return choice
    try:
        cache.mkdir(parents=True, exist_ok=True)
        write_text(cache / FILE, json.dumps({**known, key: choice.__dict__}, indent=2) + "\n")
    except OSError:  # a cache that cannot be written costs these seconds again, and nothing else
        pass
    return choice


def _measure(runtimes: Iterable[Runtime], encoder: Path, threads: int, clock: Callable[[], float]) -> Choice:
    seconds: dict[str, float] = {}
    failed: dict[str, ShowtellError] = {}
    for runtime in runtimes:
        try:
            seconds[runtime.name] = _time(runtime, encoder, threads, clock) / IMAGES
        except ShowtellError as error:
            failed[runtime.name] = error
    if not seconds:
        raise next(iter(failed.values()))
    return Choice(min(seconds, key=seconds.__getitem__), seconds, {name: str(error) for name, error in failed.items()})


def _time(runtime: Runtime, encoder: Path, threads: int, clock: Callable[[], float]) -> float:
    """The fastest of some runs: what slows a run down is other work."""
    graph = runtime.load_encoder(encoder, threads)
    channels, height, width = (size if isinstance(size, int) else 1 for size in graph.inputs["pixels"][1:])
    pixels = np.random.default_rng(0).normal(size=(IMAGES, channels, height, width)).astype(np.float32)
    feed, names = {"pixels": graph.tensor(pixels)}, list(graph.outputs)
    graph.run(feed, names)  # the first run prepares kernels
    times = []
    for _ in range(RUNS):
        begun = clock()
        graph.run(feed, names)
        times.append(clock() - begun)
    return min(times)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(item: tuple[str, float]) -> float:
    return item[1]
