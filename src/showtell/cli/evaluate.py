"""`showtell evaluate`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from showtell.cli.diverse import Diverse, check_diverse, groups_and_beam
from showtell.cli.scoring import Java, Report, Resamples

if TYPE_CHECKING:
    from showtell.core.captioner import Captioner
    from showtell.records import CaptionRow, Sample


def evaluate(
    data: Annotated[str, typer.Option(help="A data spec, such as flickr:DIR.")],
    model: Annotated[
        list[Path] | None, typer.Option(help="A bundle; else the built-in model. Repeated: an ensemble.")
    ] = None,
    split: Annotated[str, typer.Option(help="The split to caption.")] = "dev",
    lang: Annotated[str | None, typer.Option(help="Language; else the model's first.")] = None,
    beam: Annotated[int | None, typer.Option(help="Width of the beam search.")] = None,
    num: Annotated[int, typer.Option(min=1, help="Captions per image; more than one gives self-CIDEr.")] = 1,
    diverse: Diverse = False,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    teacher_forced: Annotated[
        bool, typer.Option("--teacher-forced", help="Also top-5 accuracy and loss on the true words: a second pass.")
    ] = False,
    java: Java = None,
    resamples: Resamples = 1000,
    output: Annotated[Path | None, typer.Option(help="Write the captions to a .jsonl or .csv file, too.")] = None,
    report: Report = None,
) -> None:
    """Caption a split with a bundle and score the captions, each score with its interval."""
    from showtell.cli.scoring import check_outputs, check_words, put, report_of, training_captions
    from showtell.core.captioner import Captioner
    from showtell.data.spec import of_split, read_samples
    from showtell.metrics import Evaluation

    check_diverse(diverse, num)
    check_outputs({"--output": output, "--report": report})
    captioner = Captioner.load(model or None)
    language = lang or captioner.languages[0]
    check_words(language, java)
    every = read_samples(data, (language,))
    samples = of_split(every, split)
    check_photos(data, samples)
    settings = captioner.settings(beam=beam)
    if diverse:
        settings = captioner.settings(**groups_and_beam(num, settings.beam))
    readings = _readings(captioner, samples, batch_size, language) if teacher_forced else None
    rows = caption_samples(
        captioner, samples, output, batch_size=batch_size, language=language, decode=settings, num=num
    )
    captions = {s.name: row.captions[0].text if row.ok else "" for s, row in zip(samples, rows, strict=True)}
    alternatives = {s.name: tuple(c.text for c in row.captions) or ("",) for s, row in zip(samples, rows, strict=True)}
    references = {s.name: s.captions for s in samples}
    evaluation = Evaluation(
        captions,
        references,
        language,
        alternatives=alternatives if num > 1 else None,
        training=training_captions(every, split),
        readings=readings,
        java=[metric.value for metric in java or ()],
    )
    failed = {s.name: row.error for s, row in zip(samples, rows, strict=True) if not row.ok}
    about = {
        "model": _about(captioner, model or ["built-in"]),
        "decode": settings.model_dump(mode="json"),
        "data": data,
        "split": split,
        "failed": failed,
    }
    put(report_of(evaluation, captions, references, alternatives, resamples, **about), report)
    if failed:
        typer.echo(f"showtell: {len(failed)} photos failed and count as empty captions", err=True)
        raise typer.Exit(1)


def _about(captioner: Captioner, names: Sequence[object]) -> dict[str, Any]:
    """Which bundle it was, or which were the ensemble."""
    from showtell.core.bundle import MANIFEST
    from showtell.files import sha256

    # The manifest has the hash of every other file of the bundle.
    found = [
        {"bundle": str(name), "sha256": sha256(bundle.path / MANIFEST)}
        for name, bundle in zip(names, captioner.bundles, strict=True)
    ]
    return found[0] if len(found) == 1 else {"ensemble": found}


def check_photos(data: str, samples: Sequence[Sample]) -> None:
    """Raises BadConfig for features."""
    from showtell.errors import BadConfig
    from showtell.records import FeatureRow

    if any(isinstance(sample.image, FeatureRow) for sample in samples):
        raise BadConfig(f"{data} has features, not photos, and a bundle looks at photos; give the data they came from")


def _images(samples: Sequence[Sample]) -> list[Any]:
    from showtell.core.sources import Found

    return [Found(str(s.image)) if isinstance(s.image, Path) else s.image for s in samples]


def caption_samples(
    captioner: Captioner, samples: Sequence[Sample], output: Path | None, num: int, **how: Any
) -> list[CaptionRow]:
    """A row for each sample, and into a file as they come. `how`: see `Captioner.caption_many`."""
    import contextlib
    import dataclasses

    from showtell.cli.output import RowFile
    from showtell.train.progress import Reporter

    found = []
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(RowFile(output, num, 0.0)) if output else None
        advance = stack.enter_context(Reporter().stage("captions", len(samples)))
        for sample, row in zip(samples, captioner.caption_many(_images(samples), num=num, **how), strict=True):
            found.append(row)
            advance(1)
            if file is not None:
                file.write(dataclasses.replace(row, source=sample.name))
    return found


def _readings(
    captioner: Captioner, samples: Sequence[Sample], batch_size: int, language: str
) -> dict[str, tuple[int, int, float]]:
    """Of an image that cannot be used: no words."""
    from showtell.train.progress import Reporter

    found = captioner.read_many(
        _images(samples), (s.captions for s in samples), batch_size=batch_size, language=language
    )
    with Reporter().stage("true words", len(samples)) as advance:
        readings: dict[str, tuple[int, int, float]] = {}
        for sample, reading in zip(samples, found, strict=True):
            readings[sample.name] = (0, 0, 0.0) if reading is None else reading
            advance(1)
    return readings
