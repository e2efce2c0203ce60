"""Several systems beside each other, from the reports that `evaluate` and `score` write."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from showtell.metrics.evaluation import Evaluation, agreement
from showtell.metrics.intervals import LEVEL

Report = Mapping[str, Any]


def compare(
    names: Sequence[str], reports: Sequence[Report], resamples: int, java: Sequence[str] = ()
) -> dict[str, Any]:
    """Scores of each system, and their differences to the first, as plain JSON data; `view/comparison` draws it.

    `reports` are of the same images and references, in any order. Everything is scored anew from captions and
    references, since the interval of a difference needs more than two scores; `java` as in Evaluation.
    """
    language, images = reports[0]["language"], [row["image"] for row in reports[0]["rows"]]
    rows = [{row["image"]: row for row in report["rows"]} for report in reports]
    systems = [_evaluation(images, by_image, language, java) for by_image in rows]
    captions = [[by_image[name]["caption"] for name in images] for by_image in rows]
    alike = agreement(captions, language)
    return {
        "language": language,
        "images": len(images),
        "level": LEVEL,
        "resamples": resamples,
        "systems": [
            {
                "name": name,
                "model": report.get("model"),
                "scores": {n: without_nan(e._asdict()) for n, e in system.estimates(resamples).items()},
                "differences": None
                if system is systems[0]
                else {n: without_nan(d._asdict()) for n, d in system.less(systems[0], resamples).items()},
            }
            for name, report, system in zip(names, reports, systems, strict=True)
        ],
        "rows": [
            {
                "image": name,
                "references": rows[0][name]["references"],
                "captions": [each[place] for each in captions],
                "scores": [by_image[name]["scores"] for by_image in rows],
                "agreement": round(float(alike[place]), 4),
            }
            for place, name in enumerate(images)
        ],
    }


def _evaluation(
    images: Sequence[str], by_image: Mapping[str, Report], language: str, java: Sequence[str]
) -> Evaluation:
    several = any(row.get("alternatives") for row in by_image.values())
    return Evaluation(
        {name: by_image[name]["caption"] for name in images},
        {name: by_image[name]["references"] for name in images},
        language,
        alternatives={n: [by_image[n]["caption"], *by_image[n].get("alternatives", ())] for n in images}
        if several
        else None,
        java=java,
    )


def without_nan(parts: Mapping[str, float]) -> dict[str, float | None]:
    """Eight decimals, and null for what is unknown, since JSON has no `nan`."""
    return {name: None if math.isnan(value) else round(float(value), 8) for name, value in parts.items()}
