"""What `evaluate` and `score` share: the table on the terminal, and the report that `compare` reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from showtell.errors import BadConfig

if TYPE_CHECKING:
    from showtell.metrics import Evaluation
    from showtell.records import Sample

FORMAT = 1
PER_IMAGE = ("BLEU-4", "ROUGE-L", "CIDEr", "METEOR", "SPICE", "content_recall", "self-CIDEr")
"""What a row of the report says of its image."""


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
    """`outputs` by option. Raises BadConfig for one that could not be written, or would replace an input or another:
    before the work, not after it."""
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


def check_words(language: str, java: Sequence[JavaMetric] | None) -> None:
    """Raises what scoring would raise at its end for a language without rules, or for METEOR or SPICE without Java."""
    from showtell.metrics.words import split_words

    split_words("", language)
    if java:
        from showtell.metrics.java import check_java

        for metric in java:
            check_java(metric.value, language)


def put_json(data: Mapping[str, Any], path: Path) -> None:
    """To a file, or with `-` to stdout, in UTF-8 whatever the terminal. What UTF-8 lacks, such as half a pair in a file
    name, is a JSON escape that reads back as the same."""
    from showtell.files import replacing

    whole = (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "backslashreplace")
    if str(path) == "-":
        sys.stdout.buffer.write(whole)
        return
    with replacing(path) as temporary:
        temporary.write_bytes(whole)
    print(f"{path}: written", file=sys.stderr)


def report_of(
    evaluation: Evaluation,
    captions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    alternatives: Mapping[str, Sequence[str]],
    resamples: int,
    **about: Any,
) -> dict[str, Any]:
    """`about`: where captions and references come from."""
    from datetime import datetime, timezone

    from showtell.metrics.comparison import without_nan
    from showtell.metrics.intervals import LEVEL

    each = evaluation.each
    rows = [
        {
            "image": name,
            "caption": captions[name],
            **({"alternatives": list(alternatives[name][1:])} if len(alternatives[name]) > 1 else {}),
            "references": list(references[name]),
            "scores": without_nan({metric: each[metric][place] for metric in PER_IMAGE if metric in each}),
        }
        for place, name in enumerate(evaluation.names)
    ]
    return {
        "format": FORMAT,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": _versions(),
        **about,
        "language": evaluation.language,
        "images": len(rows),
        "references_sha256": hash_of(references),
        "intervals": {"level": LEVEL, "resamples": resamples, "seed": 0},
        "scores": {name: without_nan(estimate._asdict()) for name, estimate in evaluation.estimates(resamples).items()},
        "rows": rows,
    }


def training_captions(samples: Sequence[Sample], split: str | None) -> list[str] | None:
    """Those of the data's train split, unless it has none or is itself what is scored."""
    found = [caption for sample in samples if sample.split == "train" for caption in sample.captions]
    return found if found and split != "train" else None


def hash_of(references: Mapping[str, Sequence[str]]) -> str:
    """SHA-256 of names and captions, whatever the order of the images: equal for equal tasks."""
    import hashlib

    whole = json.dumps(sorted((name, list(captions)) for name, captions in references.items()), ensure_ascii=False)
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def put(report: Mapping[str, Any], path: Path | None) -> None:
    """A table on stdout, and the report where it was asked for; with `-`, the report in place of the table."""
    if path is not None:
        put_json(report, path)
    if str(path) != "-":
        print_scores(report["scores"])


def print_scores(scores: Mapping[str, Mapping[str, float | None]]) -> None:
    for name, score in scores.items():
        if score["low"] is None:
            typer.echo(f"{name:15}{number(score['value']):>9}")
        else:
            typer.echo(f"{name:15}{number(score['value']):>9}   {number(score['low'])} to {number(score['high'])}")


def number(value: float | None) -> str:
    """Four decimals for shares, one for numbers of words."""
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 5 else f"{value:.1f}"


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    packages = ("showtell", "numpy", "onnxruntime", "pillow", "tokenizers")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
