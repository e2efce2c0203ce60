"""`showtell calibrate`"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from showtell.errors import BadConfig
from showtell.terminal import echo

if TYPE_CHECKING:
    from showtell.core.captioner import Captioner
    from showtell.metrics.calibration_report import CalibrationReport
    from showtell.records import Sample

MIN_PHOTOS: Final = 50
"""With fewer photos the curve overfits."""
MIN_CONFIDENCES: Final = (0.3, 0.5, 0.7, 0.9)


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="A folder that `showtell export` wrote; its bundle.json is changed.")],
    data: Annotated[str, typer.Option(help="A data spec, such as flickr:DIR, with several captions per photo.")],
    split: Annotated[str, typer.Option(help="The split to caption; not one that the model was trained on.")] = "dev",
    lang: Annotated[str | None, typer.Option(help="One language; else all languages of the model.")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    plot: Annotated[Path | None, typer.Option(help="Also draw the reliability diagram to this .png file.")] = None,
) -> None:
    """Calibrate a bundle: make `confidence` and --min-confidence probabilities of a correct caption.

    A caption is correct if its CIDEr reaches the median of human captions. All figures printed, but the curve, are
    cross-fitted: they come from photos that the curve was not fitted on.
    """
    from showtell.cli.scoring import check_outputs
    from showtell.core.bundle import MANIFEST
    from showtell.core.bundle_updates import write_calibration
    from showtell.core.captioner import Captioner
    from showtell.core.confidence import Calibration

    captioner = Captioner.load(bundle)
    check_outputs({"BUNDLE": bundle / MANIFEST, "--plot": plot})
    _check_plot(plot)
    languages = captioner.languages if lang is None else (captioner.generation_options(lang).language,)
    # All data first: a language without data must be refused before another one is captioned.
    samples = {language: _samples(data, split, language) for language in languages}
    reports, failed = {}, 0
    for language in languages:
        reports[language], failures = _calibrate(captioner, samples[language], language, batch_size)
        failed += failures
    for language, report in reports.items():
        _print(language, report)
    curves = {
        language: Calibration(**report.curve._asdict(), cider_weight=report.cider_weight)
        for language, report in reports.items()
    }
    write_calibration(bundle, curves)
    echo(f"{bundle / MANIFEST}: calibrated for {', '.join(languages)}", err=True)
    if plot is not None:
        _draw(reports, plot)
    if failed:
        what = "1 photo failed and was left out" if failed == 1 else f"{failed} photos failed and were left out"
        echo(f"showtell: {what}", err=True)
        raise typer.Exit(1)


def _check_plot(plot: Path | None) -> None:
    """Raises before the captioning what drawing would raise after it."""
    from showtell.cli.extras import needs

    if plot is None:
        return
    if plot.suffix != ".png":
        raise BadConfig(f"--plot {plot}: found {plot.suffix or 'no ending'}; expected .png")
    with needs("train"):
        import showtell.view.reliability_diagram  # noqa: F401


def _samples(data: str, split: str, language: str) -> list[Sample]:
    """The samples with two captions or more. Raises BadConfig when they are too few."""
    from showtell.cli.evaluate import check_photos
    from showtell.cli.reading import read_data
    from showtell.data.spec import select_split

    split_samples = select_split(read_data(data, (language,)), split)
    check_photos(data, split_samples)
    samples = [sample for sample in split_samples if len(sample.captions) > 1]
    _check_number(len(samples), f"{data}: found {len(samples)} photos of {split} with two captions ({language})")
    if skipped := len(split_samples) - len(samples):
        echo(f"showtell: {skipped} photos have a single caption and were left out ({language})", err=True)
    return samples


def _check_number(photos: int, found: str) -> None:
    if photos < MIN_PHOTOS:
        raise BadConfig(f"{found}; expected at least {MIN_PHOTOS}, give more photos")


def _calibrate(
    captioner: Captioner, samples: Sequence[Sample], language: str, batch_size: int
) -> tuple[CalibrationReport, int]:
    """The report, and the number of photos that could not be captioned."""
    from showtell.cli.evaluate import caption_samples
    from showtell.metrics.calibration_report import CalibrationReport

    rows = caption_samples(captioner, samples, None, num=1, batch_size=batch_size, language=language)
    captions = {s.name: row.captions[0] for s, row in zip(samples, rows, strict=True) if row.ok}
    _check_number(len(captions), f"found {len(captions)} of {len(samples)} photos that can be captioned ({language})")
    report = CalibrationReport(
        {name: caption.continuation for name, caption in captions.items()},
        {name: caption.score for name, caption in captions.items()},
        {sample.name: sample.captions for sample in samples if sample.name in captions},
        language,
        {name: c.expected_cider for name, c in captions.items() if c.expected_cider is not None},
    )
    return report, len(samples) - len(captions)


def _print(language: str, report: CalibrationReport) -> None:
    rank, chance = report.rank_correlation, report.chance_calibration_error
    echo(f"{language}: {len(report.correct)} photos; a caption is correct from CIDEr {report.threshold:.4f} on")
    echo()
    for name, value, note in (
        ("correct", report.correct.mean(), ""),
        ("rank correlation", rank.value, f"   {rank.low:.4f} to {rank.high:.4f}, of score and CIDEr"),
        ("calibration error", report.calibration_error, f"   {chance:.4f} by chance, if perfectly calibrated"),
        *((f"log-loss, {predictor}", loss, "") for predictor, loss in report.log_losses.items()),
    ):
        echo(f"{name:22}{value:.4f}{note}")
    weight = report.cider_weight
    evidence = f"(score + {weight:g} * expected CIDEr)" if weight else "score"
    echo(f"{'curve':22}1 / (1 + exp(-({report.curve.slope:.4f} * {evidence} + {report.curve.intercept:.4f})))")
    echo()
    _table(("confidence", "accuracy", "low", "high", "captions"), report.bins)
    _table(("--min-confidence", "captions", "CIDEr", "accuracy"), map(report.coverage, MIN_CONFIDENCES))


def _table(head: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
    widths = [max(12, len(name)) for name in head]
    echo("".join(f"{name:>{width}}" for name, width in zip(head, widths, strict=True)))
    for row in rows:
        echo("".join(f"{_cell(value):>{width}}" for value, width in zip(row, widths, strict=True)))
    echo()


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.3f}"


def _draw(reports: Mapping[str, CalibrationReport], plot: Path) -> None:
    from showtell.view.reliability_diagram import Panel, Point, draw_reliability_diagram

    panels = {
        f"{language}, {len(report.correct)} photos": Panel(
            [Point(b.confidence, b.accuracy, b.low, b.high) for b in report.bins], report.confidence.tolist()
        )
        for language, report in reports.items()
    }
    draw_reliability_diagram(panels, plot)
    echo(f"{plot}: written", err=True)
