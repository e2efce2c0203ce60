"""`showtell data`"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.cli.features import features
from showtell.cli.get import get
from showtell.terminal import echo

if TYPE_CHECKING:
    from showtell.data.checks import CheckReport
    from showtell.data.stats import Stats

app = typer.Typer(help="Get and check data, and compute features, before training.", no_args_is_help=True)
app.command()(features)
app.command()(get)

Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="A data spec, such as flickr:DIR; docs/data.md lists them all.")
]
Languages = Annotated[list[str], typer.Option("--lang", help="Language of the captions; may be repeated.")]


@app.command()
def check(spec: Spec, lang: Languages = ["en"]) -> None:  # noqa: B006 (typer copies it)
    """Read every caption and photo, and report problems.

    Photos that are missing, broken, without captions, of a format that is not read, or in two splits (same name, same
    bytes, near duplicates); captions of no photo, very long ones, and those in a wrong encoding. A caption file that
    cannot be parsed stops the command, with the line.
    """
    from showtell.core.image import load_image
    from showtell.data.checks import check_samples, unique_images
    from showtell.data.omissions import Omissions, number_of
    from showtell.data.spec import read_samples
    from showtell.errors import MissingImages
    from showtell.progress import ProgressReporter

    omissions = Omissions()
    try:
        samples = read_samples(spec, lang, omissions, ProgressReporter().stage)
    except MissingImages as error:
        for name in error.names:
            echo(f"{name}: missing")
        echo(f"{number_of(len(error.names), 'photo')} missing; nothing else was looked at ({error})", err=True)
        raise typer.Exit(1) from None
    with ProgressReporter().stage("photos", len(unique_images(samples))) as advance:
        result = check_samples(samples, load_image, advance)
    for line in omissions.lines():
        echo(line)
    _print(result)
    echo("; ".join(filter(None, (f"{number_of(result.images, 'image')} checked", omissions.summary()))), err=True)
    if not result.ok or omissions.faults:
        raise typer.Exit(1)


def _print(report: CheckReport) -> None:
    for problem in report.unreadable:
        echo(f"{problem.name}: unreadable: {problem.reason}")
    for names in report.exact_duplicates:
        echo(f"{', '.join(names)}: the same file")
    for name in report.repeated_names:
        echo(f"{name}: more than once in its split")
    for name in report.split_overlaps:
        echo(f"{name}: in several splits")
    for one, other in report.near_duplicates:
        echo(f"{one}, {other}: look the same, in different splits")
    for problem in report.captions:
        echo(f"{problem.name}: {problem.reason}")


@app.command()
def stats(
    spec: Spec,
    lang: Languages = ["en"],  # noqa: B006 (typer copies it)
    plot: Annotated[Path | None, typer.Option(help="Draw lengths, frequencies and coverage to this PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count images, captions and words by split and language, and the coverage of vocabularies."""
    import json

    from showtell.cli.reading import read_data
    from showtell.core.tokenizer import split_words
    from showtell.data.stats import compute_stats
    from showtell.errors import BadConfig

    if plot is not None and not plot.absolute().parent.is_dir():
        raise BadConfig(f"--plot {plot}: no folder {plot.parent}; make it first")
    data_stats = compute_stats(read_data(spec, lang), split_words)
    if as_json:
        fields = asdict(data_stats)
        del fields["frequencies"]
        echo(json.dumps(fields, ensure_ascii=False))
    else:
        _print_table(data_stats)
    if plot is not None:
        _draw(data_stats, plot)


def _print_table(stats: Stats) -> None:
    row = "{:8}{:6}{:>9}{:>11}{:>9}{:>10}{:>7}{:>9}"
    echo(row.format("split", "lang", "images", "captions", "words", "shortest", "mean", "longest"))
    for group in stats.groups:
        cells = (group.images, group.captions, group.unique_words, group.shortest, f"{group.mean:.1f}", group.longest)
        echo(row.format(group.split, group.language, *cells))
    for line in _script_lines(stats):
        echo(line)
    row = "{:8}{:>16}{:>13}{:>16}"
    echo()
    echo(row.format("lang", "min. frequency", "vocabulary", "dev covered"))
    for coverage in stats.coverage:
        covered = "-" if coverage.dev_coverage is None else f"{100 * coverage.dev_coverage:.2f} %"
        echo(row.format(coverage.language, coverage.min_frequency, coverage.vocab_size, covered))


def _script_lines(stats: Stats) -> Iterator[str]:
    """Where letters are of a script that is not the language's, or of which nothing is known."""
    from showtell.languages import language_info
    from showtell.languages.scripts import script_name

    for group in stats.groups:
        own = language_info(group.language).scripts
        if any(script not in own for script, _ in group.scripts):
            shares = ", ".join(f"{script_name(script)} {100 * share:.2g} %" for script, share in group.scripts)
            yield f"{group.split} {group.language}: letters of {shares}"


def _draw(stats: Stats, picture: Path) -> None:
    from showtell.cli.extras import needs
    from showtell.view.data_plots import draw_data

    lengths = {group.language: group.lengths for group in stats.groups if group.split == "train"}
    coverage = {
        language: [(c.min_frequency, c.vocab_size, c.dev_coverage) for c in stats.coverage if c.language == language]
        for language in stats.frequencies
    }
    with needs("train"):
        draw_data(lengths, stats.frequencies, coverage, picture)
    echo(f"{picture}: written", err=True)
