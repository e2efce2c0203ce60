"""Captioning on Ray: what is lost when workers are killed, and what the way to them costs.

    python benchmarks/ray_engine.py kills [N [KILLS]]     N made-up photos (10,000), 1 % bad, KILLS workers killed (20)
    python benchmarks/ray_engine.py model KILLS PHOTO...  the built-in model on the photos, KILLS workers killed
    python benchmarks/ray_engine.py throughput PHOTO...   photos/s on Ray, against this process, interleaved

Workers are killed by SIGKILL while they work, after equal shares of the rows. The output must be that of the local
engine, byte for byte. For the second row of `kills`, one photo in 2,500 ends its worker process whenever it is
captioned, on Ray only; its row must say so.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bulk
from bulk import BATCH, ROUNDS, made_up, run, stub, working_folder
from showtell.bulk.ray_cluster import connected
from showtell.bulk.storage import Storage
from showtell.core.sources import ImageInput
from showtell.records import CaptionRow

Engine = Callable[[Iterator[ImageInput]], Iterator[CaptionRow]]
WORKERS, SECONDS_PER_BLOCK = 2, 0.05


class SlowStub:
    """Loads, in a worker, an engine that takes some time for a block, so that kills meet work."""

    def __init__(self, is_deadly: bool) -> None:
        self.is_deadly = is_deadly

    def __call__(self) -> Engine:
        def engine(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
            time.sleep(SECONDS_PER_BLOCK)
            for row in stub(images):
                if self.is_deadly and deadly(row.source):
                    os.abort()
                yield row

        return engine


def deadly(image: Any) -> bool:
    return zlib.crc32(image.path.encode()) % 2500 == 7


def killing(engine: Engine, every: int, kills: int, killed: list[int]) -> Engine:
    """`engine`, of whose worker processes one is killed after each `every` rows, in turn."""

    def rows(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        for number, row in enumerate(engine(images), start=1):
            yield row
            if number >= (len(killed) + 1) * every and len(killed) < kills and (pids := worker_pids()):
                os.kill(pids[len(killed) % len(pids)], signal.SIGKILL)
                killed.append(number)

    return rows


def worker_pids() -> list[int]:
    """Of the actors on this machine, by the title that Ray gives their processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if title.startswith(b"ray::Worker") and is_ours(parent):
            found.append(int(folder.name))
    return sorted(found)


def is_ours(raylet: int) -> bool:
    """Whether this process has started the raylet."""
    return int(Path(f"/proc/{raylet}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()


def kills(images: Callable[[], Iterator[ImageInput]], count: int, number: int, local: Engine, load: Any) -> None:
    from ray import cloudpickle

    from showtell.bulk.ray_engine import RayEngine, Workers

    cloudpickle.register_pickle_by_value(bulk)  # workers do not find the folder of this program
    with working_folder():
        begun = time.perf_counter()
        run("local.jsonl", images(), local, Storage())
        local_seconds = time.perf_counter() - begun
        block = max(1, min(64, count // (number * 2)))
        killed: list[int] = []
        begun = time.perf_counter()
        with connected(None, WORKERS):
            engine = RayEngine(load, Workers(WORKERS, 1, block_size=block))
            summary = run("ray.jsonl", images(), killing(engine, count // (number + 1), number, killed), Storage())
        seconds = time.perf_counter() - begun
        expected, found = (Path(name).read_bytes() for name in ("local.jsonl", "ray.jsonl"))
        crashed = [json.loads(line)["image"] for line in found.splitlines() if b'"error": "crashed"' in line]
        others = [line for line in found.splitlines() if b'"error": "crashed"' not in line]
        names = set(crashed)
        assert others == [line for line in expected.splitlines() if json.loads(line)["image"] not in names]
    deadly_ones = sum(map(deadly, images())) if isinstance(load, SlowStub) and load.is_deadly else 0
    assert len(crashed) == deadly_ones, crashed
    assert len(killed) == number and summary.inputs == count
    sums = f"{count:,} = {summary.captioned:,} + {summary.failed:,}"
    same = "byte for byte" if found == expected else f"but for {len(crashed)} `crashed`"
    print(f"| {number} | {sums} | {len(crashed)} | {same} |  {seconds:.0f} s, local {local_seconds:.0f} s", flush=True)


def captioner_loader(block: dict[str, Any]) -> Any:
    from showtell import Captioner
    from showtell.bulk.ray_model import shipped
    from showtell.bulk.ray_worker import CaptionerLoader

    captioner = Captioner.load(threads=1)
    return captioner, CaptionerLoader([shipped(captioner.bundle, True)], 1, captioner.max_pixels, "onnxruntime", block)


def kill_with_model(number: int, photos: list[str]) -> None:
    captioner, load = captioner_loader({"batch_size": BATCH})
    kills(lambda: map(ImageInput, photos), len(photos), number, lambda images: captioner.caption_many(images), load)


def measure_throughput(photos: list[str]) -> None:
    """With one thread for each worker; this process has as many threads as there are workers."""
    from showtell import Captioner
    from showtell.bulk.ray_engine import RayEngine, Workers

    _, load = captioner_loader({"batch_size": BATCH})
    captioner = Captioner.load(threads=WORKERS)
    ratios = []
    with connected(None, WORKERS):
        for turn in range(ROUNDS + 1):
            begun = time.perf_counter()
            assert all(row.ok for row in captioner.caption_many(photos, batch_size=BATCH))
            alone = time.perf_counter() - begun
            rows = RayEngine(load, Workers(WORKERS, 1))(map(ImageInput, photos))
            first = next(rows)  # workers have started, and the first block is done
            begun = time.perf_counter()
            assert first.ok and all(row.ok for row in rows)
            if turn:
                share = (len(photos) - 64) / len(photos)
                ratios.append(alone * share / (time.perf_counter() - begun))
    print(f"{len(photos)} photos, median of {ROUNDS} rounds: {statistics.median(ratios):.2f} of the local engine")
    print(f"({min(ratios):.2f} to {max(ratios):.2f}), from the first block on")


def main(kind: str, *arguments: str) -> None:
    if kind == "kills":
        count, number = (*map(int, arguments), *(10_000, 20)[len(arguments) :])
        kills(lambda: made_up(count), count, number, stub, SlowStub(False))
        kills(lambda: made_up(count), count, number, stub, SlowStub(True))
    elif kind == "model":
        kill_with_model(int(arguments[0]), [str(Path(name).resolve()) for name in arguments[1:]])
    else:
        measure_throughput([str(Path(name).resolve()) for name in arguments])


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("kills", "model", "throughput"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
