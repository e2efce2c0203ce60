"""A cluster that is not here: what slow, lost and too many workers cost, and what a very large run needs.

    python benchmarks/cluster.py measure FOLDER          one worker: seconds of a block and their spread, bytes per row
    python benchmarks/cluster.py simulate [TABLE...]     TABLE: order, slowness, shards, losses, drivers, restarts
    python benchmarks/cluster.py project [--OPTION N]    100 million photos; every assumption is an option

The figures of docs/cluster.md are what `simulate` and `project` print. They are the same on every machine.
"""

from __future__ import annotations

import argparse
import math
import pickle
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

from cluster_projection import Assumptions, tables
from cluster_simulation import Outcome, Setting, Simulation

HOUR = 3600.0
BLOCK, PHOTOS_PER_SECOND = 64, 43.9
"""Photos of a block, as bulk/ray_engine.py has it; of a worker with two cores: benchmarks/README.md."""
SPREAD = 0.15
"""By `measure`."""
LOAD_SECONDS, NEW_MACHINE_SECONDS, NEW_DRIVER_SECONDS = 5.0, 180.0, 300.0
ROWS_PER_SECOND = 3633
"""Of one driver into Parquet: docs/bulk.md."""
ROW_BYTES = 4500
"""In memory, while it waits for those before it."""
BLOCKS_MEASURED = 10
QUEUED, AHEAD, WINDOW_BYTES, BLOCK_BYTES = 2, 8, 64 * 1024 * 1024, 16 * 1024 * 1024
"""As bulk/ray_engine.py and bulk/ray_block.py have them."""

BASE = Setting(
    workers=0,
    blocks=0,
    block_seconds=BLOCK / PHOTOS_PER_SECOND,
    spread=SPREAD,
    load_seconds=LOAD_SECONDS,
    restart_seconds=NEW_MACHINE_SECONDS,
    queued=QUEUED,
    ahead=AHEAD,
)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("measure").add_argument("folder", type=Path)
    commands.add_parser("simulate").add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    projection = commands.add_parser("project")
    for item in fields(Assumptions):
        name = f"--{item.name.replace('_', '-')}"
        projection.add_argument(name, type=float, default=item.default, help=item.metadata["help"])
    given = parser.parse_args(arguments)
    if given.command == "measure":
        measure(given.folder)
    elif given.command == "simulate":
        for name in given.tables or TABLES:
            if name not in TABLES:
                parser.error(f"found the table {name}; expected {', '.join(TABLES)}")
            for line in TABLES[name]():
                print(line, flush=True)
            print()
    else:
        print(tables(Assumptions(**{item.name: getattr(given, item.name) for item in fields(Assumptions)})))


def order_rows(sizes: tuple[int, ...] = (10, 100, 1000)) -> Iterator[str]:
    """Slow workers, and rows in order: how far may blocks be given out beyond the first one that is missing?"""
    limits = (2, 4, 8, 16)
    yield (
        "| workers | slow ones | "
        + " | ".join(f"{n} ahead" for n in limits)
        + " | no order | rows that wait, 8 ahead |"
    )
    yield "|---|---|" + "---|" * (len(limits) + 2)
    for workers in sizes:
        for share in (0.0, 0.01, 0.1):
            if share and round(share * workers) == 0:
                continue
            setting = replace(BASE, workers=workers, blocks=200 * workers, slow_share=share)
            outcomes = {n: run(replace(setting, ahead=n)) for n in limits}
            free = run(replace(setting, ahead=setting.blocks))
            shares = " | ".join(percent(outcomes[n].share_of_ideal) for n in limits)
            waiting = f"{outcomes[8].buffered * BLOCK:,} ({outcomes[8].buffered * BLOCK * ROW_BYTES / 1e6:,.1f} MB)"
            yield f"| {workers:,} | {share:.0%} | {shares} | {percent(free.share_of_ideal)} | {waiting} |"


def slowness_rows(sizes: tuple[int, ...] = (10, 100)) -> Iterator[str]:
    """One worker that is slow, and how slow it may be before it holds up the others."""
    factors = (2, 3, 4, 6, 10)
    yield "| workers, one is slow | " + " | ".join(f"{factor} times" for factor in factors) + " |"
    yield "|---|" + "---|" * len(factors)
    for workers in sizes:
        setting = replace(BASE, workers=workers, blocks=400 * workers, slow_share=1 / workers)
        shares = (percent(run(replace(setting, slow_factor=factor)).share_of_ideal) for factor in factors)
        yield f"| {workers:,} | {' | '.join(shares)} |"


def shards_rows(sizes: tuple[int, ...] = (5, 10, 20, 40, 80)) -> Iterator[str]:
    """Photos that the driver reads and sends to the workers: blocks wait in its memory, which is bounded per worker."""
    sizes_of_photos = (14_000, 100_000, 500_000)
    yield "| workers | " + " | ".join(f"photos of {size // 1000} kB" for size in sizes_of_photos) + " |"
    yield "|---|" + "---|" * len(sizes_of_photos)
    for workers in sizes:
        setting = replace(BASE, workers=workers, blocks=200 * workers)
        windows = (math.ceil(workers * WINDOW_BYTES / min(size * BLOCK, BLOCK_BYTES)) for size in sizes_of_photos)
        shares = (percent(run(replace(setting, window=window)).share_of_ideal) for window in windows)
        yield f"| {workers:,} | {' | '.join(shares)} |"


def losses_rows(sizes: tuple[int, ...] = (10, 100, 1000)) -> Iterator[str]:
    """Machines that are taken away, with one worker in ten three times slower."""
    yield "| workers | a worker lives | losses | share of ideal | work done twice |"
    yield "|---|---|---|---|---|"
    for workers in sizes:
        hours = 4.0 if workers < 100 else 1.0 if workers < 1000 else 0.2
        blocks = round(hours * HOUR / BASE.block_seconds * workers)
        for lifetime in (1.0, 6.0, math.inf):
            outcome = run(replace(BASE, workers=workers, blocks=blocks, lifetime=lifetime * HOUR, slow_share=0.1))
            lives = "as long as the run" if math.isinf(lifetime) else f"{lifetime:.0f} h on average"
            found = f"{percent(outcome.share_of_ideal)} | {outcome.done_twice:.3%}"
            yield f"| {workers:,} | {lives} | {outcome.worker_losses} | {found} |"


def drivers_rows(sizes: tuple[int, ...] = (10, 50, 80, 100, 200, 1000)) -> Iterator[str]:
    """One driver, which writes all rows."""
    yield "| workers | cores | photos/s without a limit | written by one driver | share of ideal | drivers needed |"
    yield "|---|---|---|---|---|---|"
    for workers in sizes:
        setting = replace(BASE, workers=workers, blocks=200 * workers, write_seconds=BLOCK / ROWS_PER_SECOND)
        outcome = run(setting)
        offered, written = workers * PHOTOS_PER_SECOND, setting.blocks * BLOCK / outcome.seconds
        drivers = math.ceil(offered / ROWS_PER_SECOND)
        rates = f"{offered:,.0f} | {written:,.0f} | {percent(outcome.share_of_ideal)}"
        yield f"| {workers:,} | {2 * workers:,} | {rates} | {drivers} |"


def restarts_rows(sizes: tuple[int, ...] = (10,)) -> Iterator[str]:
    """The head is lost: all workers start anew, and the blocks that were not written are done again."""
    yield "| workers | a driver lives | driver losses | share of ideal | work done twice |"
    yield "|---|---|---|---|---|"
    for workers in sizes:
        for lifetime in (0.5, 6.0):
            outcome = run(
                replace(
                    BASE,
                    workers=workers,
                    blocks=round(24 * HOUR / BASE.block_seconds * workers),
                    driver_lifetime=lifetime * HOUR,
                    driver_restart_seconds=NEW_DRIVER_SECONDS,
                )
            )
            found = f"{percent(outcome.share_of_ideal)} | {outcome.done_twice:.3%}"
            yield f"| {workers:,} | {lifetime:g} h on average | {outcome.driver_losses} | {found} |"


TABLES = {
    "order": order_rows,
    "slowness": slowness_rows,
    "shards": shards_rows,
    "losses": losses_rows,
    "drivers": drivers_rows,
    "restarts": restarts_rows,
}


def run(setting: Setting) -> Outcome:
    return Simulation(setting, seed=17).run()


def percent(share: float) -> str:
    return f"{share:.1%}"


def measure(folder: Path) -> None:
    """The built-in model as a worker with one thread. Seconds of the processor, which other work on the machine does
    not lengthen."""
    from showtell import Captioner
    from showtell.bulk.refusal import run_header
    from showtell.bulk.rows import as_record
    from showtell.bulk.run import Run
    from showtell.bulk.sinks import SinkOptions, make_sink
    from showtell.bulk.storage import Storage
    from showtell.core.sources import ImageInput

    begun = time.process_time()
    captioner = Captioner.load(threads=1)
    print(f"load {time.process_time() - begun:.2f} s")
    paths = sorted(folder.glob("*.jpg"))[: BLOCKS_MEASURED * BLOCK]
    seconds, rows = [], []
    for n in range(0, len(paths) - BLOCK + 1, BLOCK):
        begun = time.process_time()
        rows += list(captioner.caption_many(paths[n : n + BLOCK], batch_size=BLOCK))
        seconds.append(time.process_time() - begun)
    rate, spread = BLOCK / statistics.median(seconds), statistics.stdev(map(math.log, seconds[1:]))
    size = statistics.mean(path.stat().st_size for path in paths)
    print(f"{len(seconds)} blocks of {BLOCK} photos of {size:,.0f} bytes: {rate:.1f} photos/s, spread {spread:.3f}")
    tracemalloc.start()
    copies = pickle.loads(pickle.dumps(rows))  # noqa: S301 (as they come from a worker)
    print(f"memory of a row that waits: {tracemalloc.get_traced_memory()[0] / len(copies):.0f} bytes")
    tracemalloc.stop()
    for output in ("rows.jsonl", "rows.parquet"):
        with tempfile.TemporaryDirectory() as place:
            target = str(Path(place) / output)
            sink = make_sink(target, SinkOptions(), Storage())
            with Run(sink, target) as bulk:
                bulk.begin(run_header(sink.kind, "0", [["measure"]], {"num": 1}, ["photos"]))
                names = (f"s3://bucket/shards/{n // 10000:05d}.tar/{n:09d}.jpg" for n in range(len(rows)))
                for row, image in zip(rows, bulk.pending(map(ImageInput, names)), strict=True):
                    bulk.add(replace(row, source=image), as_record(replace(row, source=image), 0.0))
                bulk.finish()
            files = [path for path in Path(place).rglob("*") if path.is_file() and ".ledger" not in str(path)]
            bytes_ = sum(path.stat().st_size for path in files) / len(rows)
            ledger = (Path(f"{target}.ledger") / "ledger.jsonl").stat().st_size / len(rows)
            print(f"{output}: {bytes_:.0f} bytes a row, ledger {ledger:.0f} bytes a row")


if __name__ == "__main__":
    main(sys.argv[1:])
