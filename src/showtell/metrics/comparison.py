"""Comparison of several systems, from the reports that `evaluate` and `score` write."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from showtell.metrics.evaluation import Evaluation, agreement
from showtell.metrics.intervals import CONFIDENCE_LEVEL

Report = Mapping[str, Any]


def compare(
    names: Sequence[str], reports: Sequence[Report], resamples: int, java: Sequence[str] = ()
) -> dict[str, Any]:
    """Scores of each system and their differences to the first, as plain JSON data; `view/comparison` draws it.

    `reports` must have the same images and references, in any order. Captions are scored again, since the interval of a
    difference needs more than two scores; `java` as in Evaluation.
    """
    language, images = reports[0]["language"], [row["image"] for row in reports[0]["rows"]]
    rows_by_image = [{row["image"]: row for row in report["rows"]} for report in reports]
    evaluations = [_evaluate(images, rows, language, java) for rows in rows_by_image]
    captions = [[rows[name]["caption"] for name in images] for rows in rows_by_image]
    agreements = agreement(captions, language)
    baseline = evaluations[0]
    return {
        "language": language,
        "images": len(images),
        "confidence_level": CONFIDENCE_LEVEL,
        "resamples": resamples,
        "systems": [
            {
                "name": name,
                "model": report.get("model"),
                "scores": {
                    metric: nan_to_none(estimate._asdict())
                    for metric, estimate in evaluation.estimates(resamples).items()
                },
                "differences": None
                if evaluation is baseline
                else {
                    metric: nan_to_none(difference._asdict())
                    for metric, difference in evaluation.difference(baseline, resamples).items()
                },
            }
            for name, report, evaluation in zip(names, reports, evaluations, strict=True)
        ],
        "rows": [
            {
                "image": name,
                "references": rows_by_image[0][name]["references"],
                "captions": [system_captions[index] for system_captions in captions],
                "scores": [rows[name]["scores"] for rows in rows_by_image],
                "agreement": round(float(agreements[index]), 4),
            }
            for index, name in enumerate(images)
        ],
    }


def _evaluate(images: Sequence[str], rows: Mapping[str, Report], language: str, java: Sequence[str]) -> Evaluation:
    has_alternatives = any(row.get("alternatives") for row in rows.values())
    return Evaluation(
        {name: rows[name]["caption"] for name in images},
        {name: rows[name]["references"] for name in images},
        language,
        alternatives={n: [rows[n]["caption"], *rows[n].get("alternatives", ())] for n in images}
        if has_alternatives
        else None,
        java=java,
    )


def nan_to_none(values: Mapping[str, float]) -> dict[str, float | None]:
    """Rounded to eight decimals, with None for `nan`, which JSON does not have."""
    return {name: None if math.isnan(value) else round(float(value), 8) for name, value in values.items()}
