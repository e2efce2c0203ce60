"""Defects planted in data sets: `showtell data check` names each at its place, and nothing in whole data sets.

    python -m torture.data --n 5

N seeds of every defect of `defects.py`, and N whole data sets of every format. A defect counts as found where the
command fails with a line that has the place and what is wrong, and names nothing else.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cli.in_process import showtell

from torture.data_sets import FORMATS, photos
from torture.defects import DEFECTS
from torture.harness import Note, Tally, number_of_cases, report, run_chunks, temporary_folder
from torture.planting import Planting


def check_defect(name: str, seed: int, folder: Path, tally: Tally) -> None:
    defect, rng = DEFECTS[name], random.Random(f"{name}/{seed}")
    items = photos(rng)
    spec = FORMATS[defect.format](folder, items, rng)
    planted = defect.plant(Planting(folder, items, rng))
    expected = planted if isinstance(planted, list) else [planted]
    done = showtell("data", "check", spec)
    lines = done.stdout.splitlines() or done.stderr.splitlines()
    tally.counts["defects"] += 1
    case = f"{name}, seed {seed}"
    if done.returncode == 0:
        tally.fail(case, f"not found; expected {expected}")
        return
    for words in expected:
        if not any(all(word in line for word in words) for line in lines):
            tally.fail(case, f"no line with {words}, but {lines[:5]}")
    for line in done.stdout.splitlines():
        if not any(all(word in line for word in words) for words in expected):
            tally.fail(case, f"a line of something else: {line}")


def check_whole(kind: str, seed: int, folder: Path, tally: Tally) -> None:
    rng = random.Random(f"{kind}/{seed}")
    done = showtell("data", "check", FORMATS[kind](folder, photos(rng), rng))
    tally.counts["whole"] += 1
    if done.returncode or done.stdout:
        tally.fail(f"whole {kind}, seed {seed}", f"a false alarm: {done.stdout or done.stderr}")


def check(seed: int, defects: Sequence[str], formats: Sequence[str], note: Note) -> Tally:
    tally = Tally()
    for name in defects:
        note(name)
        with temporary_folder() as folder:
            check_defect(name, seed, Path(folder), tally)
    for kind in formats:
        note(f"whole {kind}")
        with temporary_folder() as folder:
            check_whole(kind, seed, Path(folder), tally)
    return tally


def chunk(seed: int, note: Note) -> Tally:
    return check(seed, list(DEFECTS), list(FORMATS), note)


def main() -> int:
    seeds = number_of_cases(__doc__, 5)
    tally = run_chunks("data", "torture.data:chunk", range(seeds))
    counts = tally.counts
    rows = [
        ("defects planted", f"{counts['defects']}: {len(DEFECTS)} kinds, {seeds} seeds"),
        ("whole data sets", f"{counts['whole']}: {len(FORMATS)} formats, {seeds} seeds"),
    ]
    return report("data", "Defects planted in data sets", tally, rows)


if __name__ == "__main__":
    sys.exit(main())
