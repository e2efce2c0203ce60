"""Damaged and hostile bundles and checkpoints: all are refused with one line, and nothing in them is executed.

    python -m torture.bundles --n 1000

N flipped bits, N / 10 truncations, and every hostile file of `hostile_models.py`. Bits and lengths are drawn from the
number of the case, in turn over the files of a bundle of an imported model, the built-in model, a state and a best
model of a run. A flip may be without effect (white space of a header): then what is loaded must be the same.
"""

from __future__ import annotations

import functools
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final

from torture.harness import Note, Tally, number_of_cases, report, run_chunks, temporary_folder
from torture.hostile_models import HOSTILE
from torture.model_files import SUBJECTS, Originals, outcome, replace

CHUNK: Final = 50
TARGETS: Final = [(name, file) for name, subject in SUBJECTS.items() for file in subject.files]
FLIPS, CUTS, HOSTILE_FILES = "bits flipped", "truncations", "hostile files"
SECRET: Final = b"nothing of this may be read" * 100


@functools.cache
def originals() -> Originals:
    folder = tempfile.mkdtemp(prefix="torture-originals-")
    # Not `atexit`, which a process of multiprocessing does not call.
    Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=0)
    return Originals(Path(folder))


def damaged(kind: str, number: int, data: bytes) -> bytes:
    rng = random.Random(f"{kind}/{number}")
    if kind == CUTS:
        size = len(data.rstrip(b"\n"))  # without the line's end a manifest says the same
        return data[: rng.choice([0, 1, 7, 8, size - 1, rng.randrange(size), rng.randrange(size)])]
    # Headers are a small part of a file, and every second flip is there.
    at = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 4096))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def damage(kind: str, number: int, folder: Path, tally: Tally) -> None:
    name, file = TARGETS[number % len(TARGETS)]
    model = originals().copy(name, folder / "model")
    data = (model / file).read_bytes()
    replace(model / file, damaged(kind, number, data))
    found = outcome(lambda: SUBJECTS[name].load(model), originals().loaded(name))
    shutil.rmtree(model)
    tally.counts.update([kind, f"{kind}: {found}" if found in ("refused", "the same") else f"{kind}: wrong"])
    if found != "refused" and not (found == "the same" and kind == FLIPS):
        tally.fail(f"{kind} {number}, {file} of the {name}", found)


def attack(name: str, folder: Path, tally: Tally) -> None:
    hostile, canary, secret = HOSTILE[name], folder / "canary", folder / "secret"
    secret.write_bytes(SECRET)
    model = originals().copy(hostile.subject, folder / "model")
    hostile.change(model, canary, secret)
    found = outcome(lambda: SUBJECTS[hostile.subject].load(model), originals().loaded(hostile.subject))
    tally.counts.update([HOSTILE_FILES, f"{HOSTILE_FILES}: {'refused' if found == 'refused' else 'wrong'}"])
    if found != "refused":
        tally.fail(name, found)
    if canary.exists():
        tally.fail(name, "its code was executed")
    if secret.read_bytes() != SECRET:
        tally.fail(name, "a file outside its folder was changed")


def check(kind: str, numbers: Sequence[int], note: Note) -> Tally:
    tally = Tally()
    for number in numbers:
        with temporary_folder() as folder:
            if kind == HOSTILE_FILES:
                name = list(HOSTILE)[number]
                note(name)
                attack(name, Path(folder), tally)
            else:
                note(f"{kind} {number}")
                damage(kind, number, Path(folder), tally)
    return tally


def flips(number: int, note: Note) -> Tally:
    return check(FLIPS, range(number * CHUNK, (number + 1) * CHUNK), note)


def cuts(number: int, note: Note) -> Tally:
    return check(CUTS, range(number * CHUNK, (number + 1) * CHUNK), note)


def hostile(number: int, note: Note) -> Tally:
    """One in a chunk: a crash of one hides no other."""
    return check(HOSTILE_FILES, [number], note)


def main() -> int:
    n = number_of_cases(__doc__, 1000, 10 * CHUNK)
    tally = run_chunks("bundles-hostile", "torture.bundles:hostile", range(len(HOSTILE)))
    tally.add(run_chunks("bundles-cuts", "torture.bundles:cuts", range(-(-n // 10 // CHUNK))))
    tally.add(run_chunks("bundles-flips", "torture.bundles:flips", range(-(-n // CHUNK))))
    counts = tally.counts
    rows = [
        (CUTS, f"{counts[CUTS]}, refused {counts[f'{CUTS}: refused']}"),
        (FLIPS, f"{counts[FLIPS]}, refused {counts[f'{FLIPS}: refused']}, of no effect {counts[f'{FLIPS}: the same']}"),
        (HOSTILE_FILES, f"{counts[HOSTILE_FILES]}, refused {counts[f'{HOSTILE_FILES}: refused']}, none executed"),
    ]
    return report("bundles", "Damaged and hostile bundles and checkpoints", tally, rows)


if __name__ == "__main__":
    sys.exit(main())
