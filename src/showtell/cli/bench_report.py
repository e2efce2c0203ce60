"""The table of `showtell bench`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from showtell.core.stage_times import STAGES

LABEL_WIDTH = 24
STAGE_LABELS = {
    "read": "read the file",
    "decode": "decode it",
    "resize": "resize, normalise",
    "encode": "encode",
    "search": "search",
    "write": "write the row",
}


def table(report: dict[str, Any]) -> Iterator[str]:
    """The lines for what `bench_run.measure` returns: a column for each variant."""
    machine, variants = report["machine"], report["variants"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"
    yield f"showtell {report['showtell']}, Python {machine['python']}, {versions}"
    kind = "made-up photos" if report["made_up"] else "photos"
    threads = report["threads"] or "all"
    yield (
        f"model {report['model']}, beam size {report['beam_size']}; {report['photos']} {kind}, "
        f"batches of {report['batch_size']}, threads: {threads}"
    )
    yield ""
    width = max(14, *(len(variant["name"]) + 2 for variant in variants))

    def line(label: str, cell: Callable[[dict[str, Any]], str]) -> str:
        return f"{label:{LABEL_WIDTH}}" + "".join(f"{cell(variant):>{width}}" for variant in variants)

    yield line("", lambda v: v["name"])
    yield line("one photo", lambda v: f"{1000 * v['photo_seconds']:.1f} ms")
    yield line("many photos", lambda v: f"{v['photos_per_second']:.1f} /s")
    yield line("the encoder alone", lambda v: f"{v['encoder_per_second']:.1f} /s")
    yield line("many / encoder alone", lambda v: f"{v['photos_per_second'] / v['encoder_per_second']:.2f}")
    yield line("start to first caption", lambda v: f"{v['start_seconds']:.2f} s")
    yield line("peak memory", lambda v: "unknown" if v["peak_memory"] is None else f"{v['peak_memory'] / 1e6:.0f} MB")
    yield ""
    yield "one stage after another, ms per photo"
    for stage in STAGES:
        yield line(f"  {STAGE_LABELS[stage]}", partial(_stage, stage))
    for name, reason in report["left_out"].items():
        yield f"without {name}: {reason}"


def _stage(stage: str, variant: dict[str, Any]) -> str:
    seconds = variant["stage_seconds"]
    return f"{1000 * seconds[stage]:.2f} {seconds[stage] / sum(seconds.values()):4.0%}"
