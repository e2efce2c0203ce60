"""Captioning end to end with other threads: without spinning, with two pipelines, with two stages, and beside torch.

    python benchmarks/overlap.py FOLDER_OF_PHOTOS [MODE...]

Photos per second and CPU time per photo, with the built-in model's settings and batch 32; medians over rounds, in each
of which every mode has a new process. A process captions one batch before it is timed. RUNTIME in the environment is
that of `--runtime`. Modes:

    usual       `Captioner.caption_many`
    no-spin     ONNX Runtime's threads sleep between operations, where else they wait for some time in a loop
    two-stage   a thread encodes the next batch while another searches
    both        two-stage and no-spin
    pipelines   for each core a thread that captions batches of its own, with networks of one thread
    torch       usual, in a process that has imported torch
    torch-used  usual, after a multiplication by torch on all cores
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime

from showtell import Captioner
from showtell.core.decode import decode
from showtell.core.load_ahead import load_ahead

BATCH, BATCHES, ROUNDS = 32, 4, 5
RUNTIME = os.environ.get("RUNTIME", "onnxruntime")
MODES = ("usual", "no-spin", "two-stage", "both", "pipelines", "torch", "torch-used")


def without_spinning() -> None:
    """For all sessions that are made from now on."""
    original = onnxruntime.SessionOptions

    def options() -> Any:
        made = original()
        made.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return made

    onnxruntime.SessionOptions = options


def two_stage(captioner: Captioner, photos: list[Path]) -> Iterator[str]:
    """Captions; at most one batch is encoded ahead."""
    options, tokenizer = captioner.generation_options(), captioner.bundle.tokenizer
    batches = load_ahead(iter(photos), captioner.preprocess, BATCH)

    def encoded() -> tuple[int, Any] | None:
        batch = next(batches, None)
        return None if batch is None else (len(batch), captioner.encode([pixels for _, pixels in batch]))

    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(encoded)
        while (stage := pending.result()) is not None:
            pending = pool.submit(encoded)
            count, memory = stage
            search = captioner.stepper, memory, count, tokenizer, options.language, options.decode
            found = decode(*search, reranker=captioner.reranker)
            yield from (tokenizer.decode(hypotheses[0].tokens) for hypotheses in found)


def pipelines(captioner: Captioner, photos: list[Path]) -> int:
    """The number of captions; `captioner` computes with one thread."""
    options = captioner.generation_options()

    def caption(batch: list[Path]) -> int:
        return len(captioner.caption_preprocessed([captioner.preprocess(photo) for photo in batch], options))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(caption, (photos[n : n + BATCH] for n in range(0, len(photos), BATCH))))


def measure(folder: str, mode: str) -> None:
    """Prints photos per second, and CPU milliseconds per photo."""
    if mode.startswith("torch"):
        import torch

        if mode == "torch-used":
            torch.ones(1000, 1000) @ torch.ones(1000, 1000)
    if mode in ("no-spin", "both"):
        without_spinning()
    captioner = Captioner.load(threads=1 if mode == "pipelines" else 0, runtime=RUNTIME)
    photos = list(itertools.islice(itertools.cycle(sorted(Path(folder).glob("*.jpg"))), BATCH * (BATCHES + 1)))

    def captions(photos: list[Path]) -> int:
        if mode == "pipelines":
            return pipelines(captioner, photos)
        if mode in ("two-stage", "both"):
            return len(list(two_stage(captioner, photos)))
        return sum(row.ok for row in captioner.caption_many(photos, batch_size=BATCH))

    captions(photos[:BATCH])
    cpu, begun = time.process_time(), time.perf_counter()
    assert captions(photos[BATCH:]) == BATCH * BATCHES
    cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
    print(BATCH * BATCHES / wall, 1000 * cpu / (BATCH * BATCHES))


def main(folder: str, modes: list[str]) -> None:
    results: dict[str, list[tuple[float, ...]]] = {mode: [] for mode in modes}
    for _ in range(ROUNDS):
        for mode in modes:
            command = [sys.executable, __file__, folder, "--measure", mode]
            printed = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
            results[mode].append(tuple(map(float, printed.split())))
    print("| mode | photos/s | ratio to the first | CPU ms per photo |\n|---|---|---|---|")
    for mode, rounds in results.items():
        ratio = statistics.median(a[0] / b[0] for a, b in zip(rounds, results[modes[0]], strict=True))
        speed, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {mode} | {speed:.2f} | {ratio:.2f} | {cpu:.1f} |")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if "--measure" in sys.argv:
        measure(sys.argv[1], sys.argv[3])
    else:
        main(sys.argv[1], sys.argv[2:] or list(MODES))
