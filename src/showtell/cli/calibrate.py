"""`showtell calibrate`"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from showtell.errors import BadConfig

if TYPE_CHECKING:
    from showtell.core.captioner import Captioner
    from showtell.metrics.trust import Trust
    from showtell.records import Sample

FEWEST: Final = 50
"""Photos; with fewer, a curve says more of these photos than of the model."""
MIN_SCORES: Final = (0.3, 0.5, 0.7, 0.9)


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="A folder that `showtell export` wrote; its bundle.json is changed.")],
    data: Annotated[str, typer.Option(help="A data spec, such as flickr:DIR, with several captions per photo.")],
    split: Annotated[str, typer.Option(help="The split to caption; not one that the model learned from.")] = "dev",
    lang: Annotated[str | None, typer.Option(help="One language; else each that the model writes.")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    plot: Annotated[Path | None, typer.Option(help="Also draw the reliability curve to this .png file.")] = None,
) -> None:
    """Learn how likely captions are right, and put that into the bundle: it is what `confidence` and --min-score mean.

    Right: at least as near to people's captions as every second human one is. What is printed, but the curve, is of
    photos that the curve had not seen.
    """
    from showtell.cli.scoring import check_outputs
    from showtell.core.bundle import MANIFEST, write_calibration
    from showtell.core.captioner import Captioner
    from showtell.core.confidence import Calibration

    captioner = Captioner.load(bundle)
    check_outputs({"BUNDLE": bundle / MANIFEST, "--plot": plot})
    _check_plot(plot)
    languages = captioner.languages if lang is None else (lang,)
    # All data first: that a language has none must be known before the other is captioned.
    samples = {language: _samples(data, split, language) for language in languages}
    found, failed = {}, 0
    for language in languages:
        found[language], without = _trust(captioner, samples[language], language, batch_size)
        failed += without
    for language, trust in found.items():
        _print(language, trust)
    write_calibration(bundle, {language: Calibration(**trust.curve._asdict()) for language, trust in found.items()})
    typer.echo(f"{bundle / MANIFEST}: calibrated for {', '.join(languages)}", err=True)
    if plot is not None:
        _draw(found, plot)
    if failed:
        typer.echo(f"showtell: {failed} photos failed and were left out", err=True)
        raise typer.Exit(1)


def _check_plot(plot: Path | None) -> None:
    """Raises before the work what drawing would raise after it."""
    from showtell.cli.extras import needs

    if plot is None:
        return
    if plot.suffix != ".png":
        raise BadConfig(f"--plot {plot}: found {plot.suffix or 'no ending'}; expected .png")
    with needs("train"):
        import showtell.view.reliability  # noqa: F401


def _samples(data: str, split: str, language: str) -> list[Sample]:
    """Those on which people can be seen to agree. Raises BadConfig when they are too few."""
    from showtell.cli.evaluate import check_photos
    from showtell.data.spec import of_split, read_samples

    every = of_split(read_samples(data, (language,)), split)
    check_photos(data, every)
    samples = [sample for sample in every if len(sample.captions) > 1]
    _check_number(len(samples), f"{data}: found {len(samples)} photos of {split} with two captions ({language})")
    if alone := len(every) - len(samples):
        typer.echo(f"showtell: {alone} photos have a single caption and were left out ({language})", err=True)
    return samples


def _check_number(photos: int, found: str) -> None:
    if photos < FEWEST:
        raise BadConfig(f"{found}; expected at least {FEWEST}, give more photos")


def _trust(captioner: Captioner, samples: Sequence[Sample], language: str, batch_size: int) -> tuple[Trust, int]:
    """And how many photos could not be captioned."""
    from showtell.cli.evaluate import caption_samples
    from showtell.metrics.trust import Trust

    rows = caption_samples(captioner, samples, None, num=1, batch_size=batch_size, language=language)
    captions = {s.name: row.captions[0] for s, row in zip(samples, rows, strict=True) if row.ok}
    _check_number(len(captions), f"found {len(captions)} of {len(samples)} photos that can be captioned ({language})")
    trust = Trust(
        {name: caption.text for name, caption in captions.items()},
        {name: caption.score for name, caption in captions.items()},
        {sample.name: sample.captions for sample in samples if sample.name in captions},
        language,
    )
    return trust, len(samples) - len(captions)


def _print(language: str, trust: Trust) -> None:
    rank, (error, luck) = trust.rank, trust.errors
    typer.echo(f"{language}: {len(trust.right)} photos; a caption is right from CIDEr {trust.mark:.4f} on\n")
    for name, value, note in (
        ("right", trust.right.mean(), ""),
        ("rank correlation", rank.value, f"   {rank.low:.4f} to {rank.high:.4f}, of score and CIDEr"),
        ("calibration error", error, f"   {luck:.4f} by luck alone"),
        *((f"log-loss, {of}", loss, "") for of, loss in trust.losses.items()),
    ):
        typer.echo(f"{name:22}{value:.4f}{note}")
    typer.echo(f"{'curve':22}1 / (1 + exp(-({trust.curve.slope:.4f} * score + {trust.curve.intercept:.4f})))\n")
    _table(("confidence", "right", "from", "to", "captions"), trust.bins)
    _table(("--min-score", "captions", "CIDEr", "right"), map(trust.coverage, MIN_SCORES))


def _table(head: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
    typer.echo("".join(f"{name:>12}" for name in head))
    for row in rows:
        typer.echo("".join(f"{_cell(value):>12}" for value in row))
    typer.echo("")


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.3f}"


def _draw(found: Mapping[str, Trust], plot: Path) -> None:
    from showtell.view.reliability import Panel, Point, draw_reliability

    panels = {
        f"{language}, {len(trust.right)} photos": Panel(
            [Point(of.confidence, of.right, of.low, of.high) for of in trust.bins], trust.confidence.tolist()
        )
        for language, trust in found.items()
    }
    draw_reliability(panels, plot)
    typer.echo(f"{plot}: written", err=True)
