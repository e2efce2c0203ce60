"""Bad and odd images through library, bulk run, training and server: no crash, hang, silent drop or wrong verdict.

    python -m torture.images --n 10000

40 families: 24 of whole images that must be accepted with the pixels that they were made from, 12 that must be refused
with the right code, 4 of damaged ones on which all ways must agree. Image i is number i // 40 of family i % 40.
"""

from __future__ import annotations

import functools
import random
import sys
from pathlib import Path
from typing import Final

from torture.broken_images import BAD
from torture.harness import Note, Tally, number_of_cases, report, run_chunks, temporary_folder
from torture.image_case import Case
from torture.image_ways import Ways, check_chunk
from torture.odd_images import ODD

FAMILIES: Final = {**ODD, **BAD}
CHUNK: Final = 100
"""Images that go through bulk run, training and server together."""
MODEL_EVERY: Final = 10
"""Chunks, of which one is also captioned by the built-in model."""


def make(number: int) -> tuple[str, Case]:
    family = list(FAMILIES)[number % len(FAMILIES)]
    return f"{number:05d}-{family}", FAMILIES[family](random.Random(f"{family}/{number // len(FAMILIES)}"))


@functools.cache
def ways() -> Ways:
    return Ways()


def chunk(number: int, note: Note) -> Tally:
    """The images from number * CHUNK on."""
    return check(range(number * CHUNK, (number + 1) * CHUNK), number % MODEL_EVERY == 0, note)


def check(numbers: range, with_model: bool, note: Note) -> Tally:
    with temporary_folder() as folder:
        return check_chunk([make(number) for number in numbers], Path(folder), ways(), with_model, note)


def main() -> int:
    n = number_of_cases(__doc__, 10_000, CHUNK)
    tally = run_chunks("images", "torture.images:chunk", range(-(-n // CHUNK)))
    counts = tally.counts
    codes = sorted(set(counts) - {"images", "accepted", "images with the built-in model"})
    rows = [
        ("images", f"{counts['images']}, of {len(FAMILIES)} families"),
        ("accepted", counts["accepted"]),
        ("refused", ", ".join(f"{code} {counts[code]}" for code in codes)),
        ("also with the built-in model", counts["images with the built-in model"]),
        ("most time of the processor for one", f"{tally.worst.get('seconds', 0):.2f} s"),
        ("most extra memory for one", f"{tally.worst.get('extra MiB', 0):.0f} MiB"),
    ]
    return report("images", "Images through library, bulk run, training and server", tally, rows)


if __name__ == "__main__":
    sys.exit(main())
