"""How time and memory grow: with photos, batch, beam, length and vocabulary.

    python benchmarks/growth.py photos|batch|beam|length|vocabulary|all ... [--rounds 3] [--quick]

Prints a table for each, and the exponent of a fit `time ~ n ** exponent` on the upper half of the sizes: 1 is linear,
less is better. Exits with 1 where time or memory grows faster than that. The network has the built-in model's decoder
with random weights behind an encoder of one layer, so that the search is what is measured; photos are pictures of
96 x 96 pixels in memory. `--quick` leaves out the largest sizes. Every size is a process of its own; they take turns.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from measure import Side, Tasks, interleave, save
from models import PATCH, patch_bundle

from showtell.core.machine import available_cores

GRID = 7
LINEAR = 1.1
"""The largest exponent that counts as linear: small sizes carry a constant part, and times vary."""
SMALLEST_GROWTH = 2.0
"""MB; less is the allocator's."""
BASE = {"photos": 0, "batch": 32, "beam": 5, "length": 12, "vocabulary": 5417}
SIZES: dict[str, tuple[int, ...]] = {
    "photos": (1, 10, 100, 1000, 10_000),
    "batch": (1, 4, 16, 32, 64, 128),
    "beam": (1, 2, 3, 5, 10),
    "length": (4, 8, 16, 24, 48),
    "vocabulary": (2500, 5417, 10_000, 50_000),
}


def side(threads: int, bundle: str, photos: int, batch: int, beam: int, length: int) -> Tasks:
    from PIL import Image

    from showtell import Captioner
    from showtell.core.decode import decode

    captioner = Captioner.load(bundle, threads)
    settings = captioner.settings(beam_size=beam, min_length=length, max_length=length)
    tokenizer = captioner.bundle.tokenizer
    pixels = np.random.default_rng(0).standard_normal((batch, 3, GRID * PATCH, GRID * PATCH), np.float32)
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8))
    before = _peak()

    def search() -> None:
        decode(captioner.stepper, captioner.stepper.encode(pixels), batch, tokenizer, "en", settings)

    def caption() -> None:
        for row in captioner.caption_many((picture.copy() for _ in range(photos)), batch_size=batch, decode=settings):
            assert row.ok

    return {"run": caption if photos else search, "memory": lambda: (before, _peak())}


def _peak() -> float:
    """MB"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 * (1.048576 if sys.platform != "darwin" else 1e-3)


def exponent(sizes: list[int], values: list[float]) -> float:
    """Of the upper half of the sizes, where the constant part matters least."""
    half = max(2, (len(sizes) + 1) // 2)
    return float(np.polyfit(np.log(sizes[-half:]), np.log(values[-half:]), 1)[0])


def measure(what: str, sizes: list[int], rounds: int, folder: Path, threads: int) -> bool:
    """Whether it grows no faster than linearly."""
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for size in sizes:
            values: dict[str, int] = {**BASE, what: size}
            bundle = _bundle(folder, values.pop("vocabulary"))
            sides[str(size)] = stack.enter_context(closing(Side(side, str(bundle), *values.values(), threads=threads)))
        timings = interleave(sides, rounds, "run")
        memory = [sides[str(size)].run("memory")[1] for size in sizes]
    seconds = [timings.median(str(size)) for size in sizes]
    added = [max(SMALLEST_GROWTH, peak - before) for before, peak in memory]
    time_exponent, memory_exponent = exponent(sizes, seconds), exponent(sizes, added)
    print(f"\n| {what} | ms | ms each | MB above the loaded model |\n|---|---|---|---|")
    for size, second, megabytes in zip(sizes, seconds, added, strict=True):
        print(f"| {size:,} | {1000 * second:.1f} | {1000 * second / size:.3f} | {megabytes:.0f} |")
    print(f"exponent of time {time_exponent:.2f}, of memory {memory_exponent:.2f}", flush=True)
    row: dict[str, Any] = {"grows with": what, "sizes": sizes, "seconds": seconds, "megabytes": added}
    save("growth", {**row, "time_exponent": time_exponent, "memory_exponent": memory_exponent})
    return max(time_exponent, memory_exponent) <= LINEAR


def _bundle(folder: Path, vocabulary: int) -> Path:
    from showtell.settings import TransformerSettings

    path = folder / str(vocabulary)
    return path if path.exists() else patch_bundle(path, TransformerSettings(), GRID, 448, vocabulary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=[*SIZES, "all"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--quick", action="store_true", help="leave out the largest sizes")
    arguments = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as name:
        for what in SIZES if "all" in arguments.what else arguments.what:
            sizes = list(SIZES[what][:-1] if arguments.quick else SIZES[what])
            if not measure(what, sizes, arguments.rounds, Path(name), arguments.threads):
                failed.append(what)
    if failed:
        sys.exit(f"worse than linear: {', '.join(failed)}")


if __name__ == "__main__":
    main()
