"""Shared by `evaluate` and `score`: the table of scores, and the report that `compare` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from showtell.errors import BadConfig
from showtell.terminal import echo, echo_bytes

if TYPE_CHECKING:
    from showtell.metrics import Evaluation
    from showtell.records import Sample

FORMAT = 2
PER_IMAGE_METRICS = ("BLEU-4", "ROUGE-L", "CIDEr", "METEOR", "SPICE", "content_recall", "self-CIDEr")
"""Metrics in each row of the report."""


class JavaMetric(str, Enum):
    meteor = "METEOR"
    spice = "SPICE"


Report = Annotated[
    Path | None,
    typer.Option(help="Write the whole report as one JSON file, which `showtell compare` reads; - prints it."),
]
Java = Annotated[
    list[JavaMetric] | None,
    typer.Option("--java", case_sensitive=False, help="Also METEOR or SPICE, which need Java; may be repeated."),
]
Resamples = Annotated[int, typer.Option(min=100, help="How often the images are resampled for the intervals.")]


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[Path] = ()) -> None:
    """`outputs` by option. Raises BadConfig, before any work, for one that cannot be written or that would overwrite an
    input or another output."""
    import tempfile

    taken = {path.resolve(): f"is read by this very command ({path})" for path in inputs}
    for option, path in outputs.items():
        if path is None or str(path) == "-":
            continue
        if path.is_dir():
            raise BadConfig(f"{option} {path}: is a folder; expected a file name")
        if not path.absolute().parent.is_dir():
            raise BadConfig(f"{option} {path}: no folder {path.parent}; make it first")
        if path.resolve() in taken:
            raise BadConfig(f"{option} {path}: {taken[path.resolve()]}; expected another name")
        taken[path.resolve()] = f"is what {option} writes"
        try:
            with tempfile.TemporaryFile(dir=path.absolute().parent):
                pass
        except OSError as error:
            raise BadConfig(f"{option} {path}: cannot be written ({error.strerror}); give another place") from error


def check_metrics(language: str, java: Sequence[JavaMetric] | None) -> None:
    """Raises, before any work, what scoring would raise for what is no language tag, and for METEOR or SPICE without
    Java."""
    from showtell.metrics.tokenization import tokenize

    tokenize("", language)
    if java:
        from showtell.metrics.java import check_java

        for metric in java:
            check_java(metric.value, language)


def write_json(data: Mapping[str, Any], path: Path) -> None:
    """Writes to a file, or with `-` to stdout, in UTF-8 whatever the locale. Lone surrogates, as in file names that are
    not UTF-8, are JSON escapes that read back as the same."""
    from showtell.files import replacing

    encoded = (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "backslashreplace")
    if str(path) == "-":
        echo_bytes(encoded)
        return
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)
    echo(f"{path}: written", err=True)


def build_report(
    evaluation: Evaluation,
    captions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    alternatives: Mapping[str, Sequence[str]],
    resamples: int,
    **provenance: Any,
) -> dict[str, Any]:
    """The report as JSON data. `provenance`: keys that say where captions and references come from."""
    from datetime import datetime, timezone

    from showtell.metrics.comparison import nan_to_none
    from showtell.metrics.intervals import CONFIDENCE_LEVEL

    per_image = evaluation.per_image
    rows = [
        {
            "image": name,
            "caption": captions[name],
            **({"alternatives": list(alternatives[name][1:])} if len(alternatives[name]) > 1 else {}),
            "references": list(references[name]),
            "scores": nan_to_none(
                {metric: per_image[metric][index] for metric in PER_IMAGE_METRICS if metric in per_image}
            ),
        }
        for index, name in enumerate(evaluation.image_names)
    ]
    return {
        "format": FORMAT,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": _versions(),
        **provenance,
        "language": evaluation.language,
        "images": len(rows),
        "references_sha256": references_sha256(references),
        "intervals": {"confidence_level": CONFIDENCE_LEVEL, "resamples": resamples, "seed": 0},
        "scores": {name: nan_to_none(estimate._asdict()) for name, estimate in evaluation.estimates(resamples).items()},
        "rows": rows,
    }


def training_captions(samples: Sequence[Sample], split: str | None) -> list[str] | None:
    """Captions of the train split; None if there are none or the train split is being scored."""
    captions = [caption for sample in samples if sample.split == "train" for caption in sample.captions]
    return captions if captions and split != "train" else None


def references_sha256(references: Mapping[str, Sequence[str]]) -> str:
    """SHA-256 of image names and references, independent of the order of the images."""
    import hashlib

    serialized = json.dumps(sorted((name, list(captions)) for name, captions in references.items()), ensure_ascii=False)
    return hashlib.sha256(serialized.encode("utf-8", "surrogatepass")).hexdigest()


def output_report(report: Mapping[str, Any], path: Path | None) -> None:
    """Prints a table, and writes the report to `path`; with `-`, prints the report in place of the table.

    Says on stderr why CIDEr is 0 where that says nothing about the captions.
    """
    if report["scores"]["CIDEr"]["value"] == 0 and (reason := _why_cider_is_zero(report["rows"])):
        echo(f"showtell: CIDEr is 0 because {reason}; it says nothing about the captions", err=True)
    if path is not None:
        write_json(report, path)
    if str(path) != "-":
        print_scores(report["scores"])


def _why_cider_is_zero(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """CIDEr weighs a word by log(photos / photos with the word in a reference), which is log 1 in these cases."""
    if len(rows) == 1:
        return (
            "there is one photo: a word counts by how few of the photos' references have it, so two or more are needed"
        )
    if len({tuple(sorted(row["references"])) for row in rows}) == 1:
        return "all photos have the same references: only words that tell photos apart count"
    return None


def print_scores(scores: Mapping[str, Mapping[str, float | None]]) -> None:
    for name, score in scores.items():
        echo(format_score(name, score))


def format_score(name: str, score: Mapping[str, float | None]) -> str:
    """Name, value and, if there is one, the interval, in columns."""
    line = f"{name:15}{format_number(score['value']):>9}"
    if score["low"] is None:
        return line
    return f"{line}   {format_number(score['low'])} to {format_number(score['high'])}"


def format_number(value: float | None) -> str:
    """Four decimals for scores, one for numbers of words."""
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 5 else f"{value:.1f}"


def _versions() -> dict[str, str]:
    from showtell.core.machine import describe_machine

    packages = ("showtell", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "pillow", "tokenizers")
    machine = describe_machine(packages)
    return {"python": machine["python"], **machine["versions"]}
