"""Draws docs/stages.png: milliseconds per photo of each stage, before and now.

    python benchmarks/stage_picture.py [--photos FOLDER] [--count 96] [--rounds 3] [--output docs/stages.png]

The stages run one after another (`showtell.core.stage_times`), the built-in model as shipped, in batches of 32; medians
of interleaved rounds. Before is the tree of models.RELEASE. Appends the figures to benchmarks/results/stages.jsonl.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from measure import Side, Tasks, save
from models import RELEASE, ROOT, checkout

BATCH = 32
STAGES = ("read", "decode", "resize", "encode", "search", "write")
COLOURS = ("#9aa5b1", "#4c78a8", "#72b7b2", "#f58518", "#e45756", "#54a24b")


def side(threads: int, source: str | None, options: dict[str, str], photos: list[str]) -> Tasks:
    """showtell of this tree or of the one at `source`, both with the stopwatch of this one."""
    if source is not None:
        sys.path.insert(0, source)
    from showtell import Captioner

    spec = importlib.util.spec_from_file_location("stage_times", ROOT / "src/showtell/core/stage_times.py")
    assert spec is not None and spec.loader is not None
    stopwatch = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stopwatch)
    captioner = Captioner.load(None, threads, **options)
    paths = [Path(photo) for photo in photos]
    return {"run": lambda: stopwatch.stage_times(captioner, paths, BATCH, _write)}


def _write(row: Any) -> None:
    from showtell.bulk.rows import as_record, jsonl_line

    jsonl_line(as_record(row, 0.0))


def draw(rows: dict[str, dict[str, float]], output: Path) -> None:
    """`rows`: by side, seconds per photo of each stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.6 * len(rows)), layout="constrained")
    names = list(rows)
    begin = [0.0] * len(names)
    for stage, colour in zip(STAGES, COLOURS, strict=True):
        widths = [1000 * rows[name][stage] for name in names]
        axes.barh(names, widths, left=begin, color=colour, label=stage)
        for y, (left, width) in enumerate(zip(begin, widths, strict=True)):
            if width > 0.06 * sum(1000 * second for second in rows[names[0]].values()):
                axes.text(left + width / 2, y, f"{width:.1f}", ha="center", va="center", color="white")
        begin = [left + width for left, width in zip(begin, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("ms per photo, one stage after another")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(ncols=len(STAGES), loc="outside upper center", frameon=False)
    figure.savefig(output, dpi=120)


def main() -> None:
    from showtell.core.machine import available_cores
    from showtell.core.runtimes.registry import RUNTIMES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=ROOT.parent / "shared" / "flickr8k" / "images")
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "stages.png")
    arguments = parser.parse_args()
    photos = [str(path) for path in sorted(arguments.photos.glob("*.jpg"))[: arguments.count]]
    if not photos:
        parser.error(f"--photos {arguments.photos}: found no .jpg; expected a folder of photos")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sides = {"before": Side(side, str(checkout(RELEASE, Path(folder))), {}, photos, threads=arguments.threads)}
        for name in (name for name, runtime in RUNTIMES.items() if runtime.is_here()):
            sides[f"now, {name}"] = Side(side, None, {"runtime": name}, photos, threads=arguments.threads)
        for each in sides.values():
            stack.enter_context(closing(each))
            each.run("run")
        rounds = [{name: each.run("run")[1] for name, each in sides.items()} for _ in range(arguments.rounds)]
    rows = {
        name: {stage: statistics.median(each[name][stage] for each in rounds) for stage in STAGES} for name in sides
    }
    print("| ms per photo | " + " | ".join(STAGES) + " | sum |\n|---" + "|---" * (len(STAGES) + 1) + "|")
    for name, seconds in rows.items():
        cells = [f"{1000 * seconds[stage]:.2f}" for stage in STAGES]
        print(f"| {name} | {' | '.join(cells)} | {1000 * sum(seconds.values()):.1f} |")
    save("stages", {"photos": len(photos), "threads": arguments.threads, "seconds_per_photo": rows})
    draw(rows, arguments.output)


if __name__ == "__main__":
    main()
