"""Photos in object storage against the same photos on the disk.

    python benchmarks/cloud.py s3 [N]       N small photos (2,000) as a folder, as tar shards, as Parquet
    python benchmarks/cloud.py latency [N]  photos/s of a folder and of shards by the time that a request takes

`s3`: moto's server, in this process, in which one request in 50 fails: 503 SlowDown, 500, or a body that is cut. A stub
engine reads every photo by the loader threads; each run is interrupted once and goes on. The output must be that of the
same run on the disk, byte for byte. Then, without faults, requests per photo and the rate of reading. That rate is
moto's: it is a server for tests, in Python, and shares the cores with the reader.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
import random
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.bulk import stub
from tests.remote.object_server import BUCKET, ObjectServer, object_server

from showtell.bulk.sources import find_inputs
from showtell.core.load_ahead import load_ahead
from showtell.core.photo_source import photo_source
from showtell.core.sources import ImageInput
from showtell.errors import BadImage
from showtell.records import Caption, CaptionRow

EVERY, SHARDS = 50, 4
KINDS = {"folder": "folder/", "tar": "shards/*.tar", "tar.gz": "zipped/*.tar.gz", "Parquet": "parquet/*.parquet"}


def photo(number: int) -> bytes:
    """10 KB, as a thumbnail has; the engine does not look at them."""
    return b"photo" + random.Random(number).randbytes(10_000)


def load(image: ImageInput) -> str:
    if image.error is not None:
        raise image.error
    source = photo_source(image)
    return hashlib.sha256(Path(source).read_bytes() if isinstance(source, str) else source()).hexdigest()


def engine(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
    """Loads ahead by threads, as the captioner does; the caption is a hash of the bytes."""
    for batch in load_ahead(images, load, 32):
        for image, value in batch:
            if isinstance(value, BadImage):
                yield CaptionRow(image, error=value.code, detail=value.detail)
            elif isinstance(value, BaseException):
                raise value
            else:
                yield CaptionRow(image, (Caption(value, -0.5, 0.5, (), "en"),))


def make(count: int) -> None:
    """The photos as all kinds, below the folder `local`."""
    import pyarrow
    import pyarrow.parquet

    for name in ("folder", "shards", "zipped", "parquet"):
        Path("local", name).mkdir(parents=True)
    numbers = range(count)
    for number in numbers:
        Path(f"local/folder/{number:06d}.jpg").write_bytes(photo(number))
    for part in range(SHARDS):
        mine = numbers[part * count // SHARDS : (part + 1) * count // SHARDS]
        for path, mode in ((f"shards/{part:03d}.tar", "w"), (f"zipped/{part:03d}.tar.gz", "w:gz")):
            with tarfile.open(Path("local", path), mode) as tar:  # type: ignore[call-overload]
                for number in mine:
                    member = tarfile.TarInfo(f"{number:06d}.jpg")
                    member.size = len(photo(number))
                    tar.addfile(member, io.BytesIO(photo(number)))
        table = pyarrow.table({"image": [photo(number) for number in mine]})
        pyarrow.parquet.write_table(table, f"local/parquet/{part:03d}.parquet", row_group_size=100)


def run(output: str, source: str, interrupt_at: int | None = None) -> bytes:
    """The rows. The run is interrupted after so many rows, and given again."""

    def stopping(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        yield from itertools.islice(engine(images), interrupt_at)
        raise KeyboardInterrupt

    if interrupt_at is not None:
        with contextlib.suppress(KeyboardInterrupt):
            stub.caption(output, find_inputs([source]), rows=stopping, inputs=(source,))
    summary = stub.caption(output, find_inputs([source]), rows=engine, inputs=(source,))
    assert summary.failed == 0, summary
    return Path(output).read_bytes()


def check(server: ObjectServer, count: int) -> None:
    print("| input | requests that failed | rows | equal to the disk's | requests per photo | read, photos/s |")
    print("|---|---|---|---|---|---|")
    for kind, pattern in KINDS.items():
        expected = run(f"local-{kind}.jsonl", f"local/{pattern}")
        server.faults.reset(every=EVERY, seed=1)
        rows = run(f"remote-{kind}.jsonl", f"s3://{BUCKET}/{pattern}", count // 3)
        failed, asked = server.faults.failed, server.faults.requests.total()
        same = rows.replace(f"s3://{BUCKET}/".encode(), b"local/") == expected
        server.faults.reset()
        begun = time.perf_counter()
        assert sum(row.ok for row in engine(find_inputs([f"s3://{BUCKET}/{pattern}"]))) == count
        seconds = time.perf_counter() - begun
        kinds = ", ".join(f"{failed[name]} {name}" for name in sorted(failed)) or "0"
        print(
            f"| {kind} | {kinds} of {asked} | {len(rows.splitlines())} | {'yes' if same else 'NO'} "
            f"| {server.faults.requests.total() / count:.4f} | {count / seconds:,.0f} |",
            flush=True,
        )


def measure_latency(server: ObjectServer, count: int) -> None:
    inner = server.faults.app
    print("| seconds of a request | folder, photos/s | tar, photos/s |")
    print("|---|---|---|")
    for delay in (0.0, 0.02, 0.05, 0.1):
        server.faults.app = lambda environ, start, delay=delay: time.sleep(delay) or inner(environ, start)
        rates = []
        for pattern in (KINDS["folder"], KINDS["tar"]):
            begun = time.perf_counter()
            assert sum(row.ok for row in engine(find_inputs([f"s3://{BUCKET}/{pattern}"]))) == count
            rates.append(f"{count / (time.perf_counter() - begun):,.0f}")
        print(f"| {delay} | {' | '.join(rates)} |", flush=True)


def main() -> None:
    command, *numbers = sys.argv[1:] or [""]
    if command not in ("s3", "latency"):
        sys.exit(__doc__)
    count = int(numbers[0]) if numbers else 2000
    with tempfile.TemporaryDirectory() as folder, object_server() as server:
        os.chdir(folder)
        os.environ.update(server.environment())
        make(count)
        for path in sorted(Path("local").rglob("*")):
            if path.is_file():
                server.put(path.relative_to("local").as_posix(), path.read_bytes())
        (check if command == "s3" else measure_latency)(server, count)


if __name__ == "__main__":
    main()
