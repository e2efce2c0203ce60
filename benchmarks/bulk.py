"""Bulk captioning: its cost beside the model's, and what is lost when it is killed.

    python benchmarks/bulk.py rows [N]                  rows/s of sinks and ledger, N made-up rows (100,000)
    python benchmarks/bulk.py throughput PHOTO...       photos/s with --output, against captioning alone, interleaved
    python benchmarks/bulk.py torture [N [KILLS]]       N made-up rows (100,000), 1 % bad, KILLS real SIGKILLs (200)
    python benchmarks/bulk.py model KILLS PHOTO...      the built-in model on the photos, killed KILLS times

`torture` and `model` kill a process at a random file operation, before it, after it, or in the middle of what it
writes, and start it again, until it has been killed KILLS times; then it runs to its end. The output must be that of a
run without kills, byte for byte.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from showtell.bulk.refusal import run_header
from showtell.bulk.rows import as_record, jsonl_line
from showtell.bulk.run import Run, Summary
from showtell.bulk.sinks import SinkOptions, make_sink
from showtell.bulk.storage import Storage
from showtell.core.sources import ImageInput
from showtell.records import Caption, CaptionRow, Word

OUTPUTS = ("rows.jsonl", "rows.csv", "rows.parquet", "sidecar:out", "xmp:out")
ROUNDS, BATCH = 3, 32


def made_up(count: int) -> Iterator[ImageInput]:
    return (ImageInput(f"photos/{number // 1000:04d}/{number:08d}.jpg") for number in range(count))


def stub(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
    """A row of the size of a real one; one in a hundred is bad."""
    for image in images:
        number = zlib.crc32(image.path.encode())
        if number % 100 == 0:
            yield CaptionRow(image, error="truncated", detail="found half a photo")
            continue
        words = [f"w{number >> shift & 255}" for shift in range(10)]
        scored = tuple(Word(word, -(number % 997) / 500) for word in words)
        yield CaptionRow(image, (Caption(" ".join(words), -0.5, 0.5, scored, "en"),))


class KillingStorage(Storage):
    """Ends the process at one call."""

    def __init__(self, at: int, moment: str) -> None:
        self._left, self._moment = at, moment

    def write(self, descriptor: int, data: bytes) -> None:
        if self._left == 1 and self._moment == "half":
            super().write(descriptor, data[: len(data) // 2])
        self._call(super().write, descriptor, data)

    def _call(self, do: Callable[..., Any], *arguments: Any) -> Any:
        self._left -= 1
        if self._left == 0 and self._moment != "after":
            os.kill(os.getpid(), signal.SIGKILL)
        result = do(*arguments)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def open(self, path: Path) -> int:
        found: int = self._call(super().open, path)
        return found

    def sync(self, descriptor: int) -> None:
        self._call(super().sync, descriptor)

    def sync_all(self, descriptors: Sequence[int]) -> None:
        self._call(super().sync_all, descriptors)

    def truncate(self, descriptor: int, size: int) -> None:
        self._call(super().truncate, descriptor, size)

    def replace(self, source: Path, target: Path) -> None:
        self._call(super().replace, source, target)

    def remove(self, path: Path) -> None:
        self._call(super().remove, path)


def run(output: str, images: Iterator[ImageInput], rows: Any, storage: Storage) -> Summary:
    sink = make_sink(output, SinkOptions(), storage)
    with Run(sink, output, storage=storage) as bulk:
        bulk.begin(run_header(sink.kind, "0", [["stub"]], {"num": 1}, ["photos"]))
        for row in rows(bulk.pending(images)):
            bulk.add(row, as_record(row, 0.0))
        return bulk.finish()


def measure_rows(count: int) -> None:
    with working_folder():
        begun = time.perf_counter()
        with Path("plain.jsonl").open("wb") as file:
            for row in stub(made_up(count)):
                file.write(jsonl_line(as_record(row, 0.0)))
        print(f"{'lines alone':14} {count / (time.perf_counter() - begun):9,.0f} rows/s")
        for output in OUTPUTS:
            begun = time.perf_counter()
            run(output, made_up(count), stub, Storage())
            seconds = time.perf_counter() - begun
            begun = time.perf_counter()
            run(output, made_up(count), stub, Storage())
            again = time.perf_counter() - begun
            print(f"{output:14} {count / seconds:9,.0f} rows/s; given again, finished: {count / again:9,.0f} inputs/s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def measure_throughput(photos: list[str]) -> None:
    from showtell import Captioner

    captioner = Captioner.load()
    paths = list(itertools.islice(itertools.cycle(photos), 2 * BATCH))

    def rows(images: Any) -> Iterator[CaptionRow]:
        return captioner.caption_many(images, batch_size=BATCH)

    with working_folder():
        ratios: dict[str, list[float]] = {output: [] for output in OUTPUTS}
        for turn in range(ROUNDS + 1):
            begun = time.perf_counter()
            assert all(row.ok for row in rows(map(ImageInput, paths)))
            alone = time.perf_counter() - begun
            for output, found in ratios.items():
                name = output.replace("rows", f"rows{turn}").replace("out", f"out{turn}")
                begun = time.perf_counter()
                assert run(name, map(ImageInput, paths), rows, Storage()).captioned == len(paths)
                found += [alone / (time.perf_counter() - begun)] if turn else []
    print(f"{len(paths)} photos a round, median of {ROUNDS} rounds; captioning alone is 1")
    for output, found in ratios.items():
        print(f"{output:14} {statistics.median(found):5.2f} ({min(found):.2f} to {max(found):.2f})")


def torture(count: int, kills: int, command: list[str], rows_per_life: int) -> None:
    for output in OUTPUTS:
        with working_folder():
            draw, lives = random.Random(17), 0
            begun = time.perf_counter()
            while lives < kills:
                at, moment = str(draw.randint(1, rows_per_life)), draw.choice(["before", "after", "half"])
                code = subprocess.run([*command, output, at, moment]).returncode
                lives += code == -signal.SIGKILL
                assert code in (0, -signal.SIGKILL), code
                if code == 0:
                    print(f"{output}: complete after {lives} kills")
                    break
            subprocess.run([*command, output, "0", "before"], check=True)
            seconds = time.perf_counter() - begun
            killed, summary = outputs(Path()), json.loads(next(Path().rglob("summary.json")).read_text())
        with working_folder():
            subprocess.run([*command, output, "0", "before"], check=True)
            whole = outputs(Path())
            rows = number_of_rows(output)
        captioned, failed = summary["captioned"], summary["failed"]
        assert killed == whole and summary["inputs"] == captioned + failed == count
        assert rows == (count if output.startswith("rows") else captioned)
        sums = f"{count:,} inputs = {captioned:,} captioned + {failed:,} failed"
        print(f"{output:14} {lives} kills, {sums}; 0 lost, 0 twice, equal output; {seconds:.0f} s", flush=True)


def number_of_rows(output: str) -> int:
    """All different."""
    if output.endswith(".parquet"):
        import pyarrow.parquet

        names = pyarrow.parquet.read_table(output).column("image").to_pylist()
    elif output.endswith(".csv"):
        with Path(output).open(newline="") as file:
            names = [row["image"] for row in csv.DictReader(file)]
    elif output.endswith(".jsonl"):
        names = [json.loads(line)["image"] for line in Path(output).read_text().splitlines()]
    else:
        names = [str(path) for path in Path(output.partition(":")[2]).rglob("*.*") if path.suffix in (".txt", ".xmp")]
    assert len(names) == len(set(names))
    return len(names)


def outputs(folder: Path) -> dict[str, int]:
    """The files of an output, without its ledger, and their checksums."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "ledger.jsonl")
    return {str(path.relative_to(folder)): zlib.crc32(path.read_bytes()) for path in files}


@contextlib.contextmanager
def working_folder() -> Iterator[None]:
    before, folder = Path.cwd(), tempfile.mkdtemp()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def child(kind: str, *arguments: str) -> None:
    *places, output, at, moment = arguments
    storage = KillingStorage(int(at), moment)
    if kind == "stub":
        run(output, made_up(int(places[0])), stub, storage)
        return
    from showtell import Captioner

    captioner = Captioner.load()
    run(output, map(ImageInput, places), lambda images: captioner.caption_many(images, batch_size=BATCH), storage)


def main(kind: str, *arguments: str) -> None:
    itself = [sys.executable, str(Path(__file__).resolve())]
    if kind == "rows":
        measure_rows(int(arguments[0]) if arguments else 100_000)
    elif kind == "throughput":
        measure_throughput([str(Path(name).resolve()) for name in arguments])
    elif kind == "torture":
        count, kills = (*map(int, arguments), *(100_000, 200)[len(arguments) :])
        torture(count, kills, [*itself, "child", "stub", str(count)], max(2 * count // (kills + 1), 2))
    elif kind == "model":
        kills, *photos = arguments
        places = [str(Path(name).resolve()) for name in photos]
        per_life = max(2 * len(places) // (int(kills) + 1), 2)
        torture(len(places), int(kills), [*itself, "child", "model", *places], per_life)
    else:
        child(*arguments)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("rows", "throughput", "torture", "model", "child"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
