"""`showtell evaluate`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from showtell.cli.diverse import Diverse, check_diverse, groups_and_beam
from showtell.cli.runtime import RuntimeOption, say_runtime
from showtell.cli.scoring import Java, Report, Resamples
from showtell.terminal import echo

if TYPE_CHECKING:
    from showtell.core.captioner import Captioner
    from showtell.records import CaptionRow, Sample


def evaluate(
    data: Annotated[str, typer.Option(help="A data spec, such as flickr:DIR.")],
    model: Annotated[
        list[Path] | None, typer.Option(help="A bundle; else the built-in model. Repeated: an ensemble.")
    ] = None,
    split: Annotated[str, typer.Option(help="The split to caption.")] = "dev",
    lang: Annotated[str | None, typer.Option(help="Language; else the first one of the model.")] = None,
    beam: Annotated[int | None, typer.Option(help="Beam size; 1: greedy search. Default: the model's.")] = None,
    num: Annotated[int, typer.Option(min=1, help="Captions per image; more than one gives self-CIDEr.")] = 1,
    diverse: Diverse = False,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="How every caption begins, for an imported model that takes it.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    teacher_forced: Annotated[
        bool,
        typer.Option(
            "--teacher-forced", help="Also teacher-forced loss and top-5 accuracy on the references: a second pass."
        ),
    ] = False,
    java: Java = None,
    resamples: Resamples = 1000,
    output: Annotated[Path | None, typer.Option(help="Write the captions to a .jsonl or .csv file, too.")] = None,
    report: Report = None,
    runtime: RuntimeOption = "onnxruntime",
) -> None:
    """Caption a split with a bundle and score the captions, each score with its interval."""
    from showtell.cli.reading import read_data
    from showtell.cli.scoring import build_report, check_metrics, check_outputs, output_report, training_captions
    from showtell.core.captioner import Captioner
    from showtell.data.spec import select_split, tables_of
    from showtell.metrics import Evaluation

    check_diverse(diverse, num)
    check_outputs({"--output": output, "--report": report}, tables_of(data))
    captioner = Captioner.load(model or None, runtime=runtime)
    say_runtime(captioner)
    language = captioner.generation_options(lang, prompt=prompt).language
    check_metrics(language, java)
    all_samples = read_data(data, (language,))
    samples = select_split(all_samples, split)
    check_photos(data, samples)
    settings = captioner.settings(beam_size=beam)
    if diverse:
        settings = captioner.settings(**groups_and_beam(num, settings.beam_size))
    teacher_forced_scores = _teacher_forced(captioner, samples, batch_size, language) if teacher_forced else None
    rows = caption_samples(
        *(captioner, samples, output, num),
        batch_size=batch_size,
        language=language,
        decode=settings,
        prompt=prompt,
    )
    _check_arrived(samples, rows)
    # A prompt is no work of the model's; validation in training leaves it out, too.
    captions = {s.name: row.captions[0].continuation if row.ok else "" for s, row in zip(samples, rows, strict=True)}
    alternatives = {
        s.name: tuple(c.continuation for c in row.captions) or ("",) for s, row in zip(samples, rows, strict=True)
    }
    references = {s.name: s.captions for s in samples}
    evaluation = Evaluation(
        captions,
        references,
        language,
        alternatives=alternatives if num > 1 else None,
        training_captions=training_captions(all_samples, split),
        teacher_forced=teacher_forced_scores,
        java=[metric.value for metric in java or ()],
    )
    failed = {s.name: str(row.error) for s, row in zip(samples, rows, strict=True) if not row.ok}
    provenance = {
        "model": _model_provenance(captioner, model or ["built-in"]),
        "runtime": captioner.runtime,
        "decode": settings.model_dump(mode="json"),
        **({} if prompt is None else {"prompt": prompt}),
        "data": data,
        "split": split,
        "failed": failed,
    }
    report_data = build_report(evaluation, captions, references, alternatives, resamples, **provenance)
    for row in report_data["rows"]:
        if row["image"] in failed:
            row["error"] = failed[row["image"]]
    output_report(report_data, report)
    if failed:
        _say_failed(samples, rows)
        raise typer.Exit(1)


def _check_arrived(samples: Sequence[Sample], rows: Sequence[CaptionRow]) -> None:
    """Raises StorageUnreachable: a score in which the network is the reason of empty captions says nothing."""
    from showtell.data.omissions import number_of
    from showtell.errors import StorageUnreachable

    failed = [(s.name, row.detail) for s, row in zip(samples, rows, strict=True) if row.error == "url_failed"]
    if failed:
        name, detail = failed[0]
        raise StorageUnreachable(
            f"{number_of(len(failed), 'photo')} did not arrive, {name} first: {detail}; run it again"
        )


def _say_failed(samples: Sequence[Sample], rows: Sequence[CaptionRow]) -> None:
    failed = [(sample.name, row) for sample, row in zip(samples, rows, strict=True) if not row.ok]
    for name, row in failed:
        echo(f"showtell: {name}: {row.error}: {row.detail}", err=True)
    what = "1 photo failed and counts as an empty caption"
    if len(failed) > 1:
        what = f"{len(failed)} photos failed and count as empty captions"
    echo(f"showtell: {what}", err=True)


def _model_provenance(captioner: Captioner, names: Sequence[object]) -> dict[str, Any]:
    """Path and hash of the bundle, or of each bundle of the ensemble."""
    from showtell.core.bundle import MANIFEST
    from showtell.files import sha256

    # The manifest has the hash of every other file of the bundle.
    bundles = [
        {"bundle": str(name), "sha256": sha256(bundle.path / MANIFEST)}
        for name, bundle in zip(names, captioner.bundles, strict=True)
    ]
    return bundles[0] if len(bundles) == 1 else {"ensemble": bundles}


def check_photos(data: str, samples: Sequence[Sample]) -> None:
    """Raises BadConfig for data that has features in place of photos."""
    from showtell.errors import BadConfig
    from showtell.records import FeatureRow

    if any(isinstance(sample.image, FeatureRow) for sample in samples):
        raise BadConfig(f"{data}: found features; expected photos, give the data that the features were computed from")


def images_of(samples: Sequence[Sample]) -> list[Any]:
    """What `Captioner.caption_many` takes."""
    from showtell.core.sources import ImageInput

    return [ImageInput(str(s.image)) if isinstance(s.image, Path) else s.image for s in samples]


def caption_samples(
    captioner: Captioner, samples: Sequence[Sample], output: Path | None, num: int, **options: Any
) -> list[CaptionRow]:
    """Captions the samples, and writes the rows to `output` as they come. `options`: those of
    `Captioner.caption_many`."""
    import contextlib
    import dataclasses

    from showtell.cli.output import RowFile
    from showtell.progress import ProgressReporter

    rows = []
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(RowFile(output, num, 0.0)) if output else None
        advance = stack.enter_context(ProgressReporter().stage("captions", len(samples)))
        for sample, row in zip(samples, captioner.caption_many(images_of(samples), num=num, **options), strict=True):
            rows.append(row)
            advance(1)
            if file is not None:
                file.write(dataclasses.replace(row, source=sample.name))
    return rows


def _teacher_forced(
    captioner: Captioner, samples: Sequence[Sample], batch_size: int, language: str
) -> dict[str, tuple[int, int, float]]:
    """(Reference words, words among the five likeliest, summed cross-entropy) of each image; zeros for an unusable
    one."""
    from showtell.progress import ProgressReporter

    scores = captioner.score_captions(
        images_of(samples), (s.captions for s in samples), batch_size=batch_size, language=language
    )
    with ProgressReporter().stage("teacher forcing", len(samples)) as advance:
        by_name: dict[str, tuple[int, int, float]] = {}
        for sample, sample_scores in zip(samples, scores, strict=True):
            by_name[sample.name] = (0, 0, 0.0) if sample_scores is None else sample_scores
            advance(1)
    return by_name
