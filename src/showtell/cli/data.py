"""`showtell data`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.cli.features import features

if TYPE_CHECKING:
    from showtell.data.checks import Findings
    from showtell.data.stats import Stats

app = typer.Typer(help="Look at data before training on it.", no_args_is_help=True)
app.command()(features)

Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="What to read, such as flickr:DIR; docs/data.md has them all.")
]
Languages = Annotated[list[str], typer.Option("--lang", help="Language of the captions; may be repeated.")]


@app.command()
def check(spec: Spec, lang: Languages = ["en"]) -> None:  # noqa: B006 (typer copies it)
    """Read every caption and photo, and name what is wrong with them.

    Photos that are missing, broken, or in two splits (by name, by bytes, by looks); captions that are empty, huge or
    in a wrong encoding. A caption file that makes no sense stops it, with the line.
    """
    from showtell.core.image import load_image
    from showtell.data.checks import check as find
    from showtell.data.checks import to_look_at
    from showtell.data.spec import read_samples
    from showtell.errors import MissingImages
    from showtell.train.progress import Reporter

    try:
        samples = read_samples(spec, lang)
    except MissingImages as error:
        for name in error.names:
            typer.echo(f"{name}: missing")
        typer.echo(f"{len(error.names)} photos are missing; nothing else was looked at", err=True)
        raise typer.Exit(1) from None
    with Reporter().stage("photos", len(to_look_at(samples))) as advance:
        found = find(samples, load_image, advance)
    _print(found)
    typer.echo(f"{found.images} images checked", err=True)
    if not found.ok:
        raise typer.Exit(1)


def _print(found: Findings) -> None:
    for problem in found.unreadable:
        typer.echo(f"{problem.name}: unreadable: {problem.reason}")
    for names in found.identical:
        typer.echo(f"{', '.join(names)}: the same file")
    for name in found.repeated:
        typer.echo(f"{name}: more than once in its split")
    for name in found.in_several_splits:
        typer.echo(f"{name}: in several splits")
    for one, other in found.leaks:
        typer.echo(f"{one}, {other}: look the same, in different splits")
    for problem in found.captions:
        typer.echo(f"{problem.name}: {problem.reason}")


@app.command()
def stats(
    spec: Spec,
    lang: Languages = ["en"],  # noqa: B006 (typer copies it)
    plot: Annotated[Path | None, typer.Option(help="Draw lengths, frequencies and coverage to this PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count images, captions and words by split and language, and what vocabularies would cover."""
    import json

    from showtell.core.text import split_words
    from showtell.data.spec import read_samples
    from showtell.data.stats import stats as count
    from showtell.errors import BadConfig

    if plot is not None and not plot.absolute().parent.is_dir():
        raise BadConfig(f"--plot {plot}: no folder {plot.parent}; make it first")
    found = count(read_samples(spec, lang), split_words)
    if as_json:
        whole = asdict(found)
        del whole["frequencies"]
        typer.echo(json.dumps(whole, ensure_ascii=False))
    else:
        _print_table(found)
    if plot is not None:
        _draw(found, plot)


def _print_table(found: Stats) -> None:
    row = "{:8}{:6}{:>9}{:>11}{:>9}{:>10}{:>7}{:>9}"
    typer.echo(row.format("split", "lang", "images", "captions", "words", "shortest", "mean", "longest"))
    for g in found.groups:
        cells = (g.images, g.captions, g.different_words, g.shortest, f"{g.mean:.1f}", g.longest)
        typer.echo(row.format(g.split, g.language, *cells))
    row = "{:8}{:>16}{:>13}{:>16}"
    typer.echo("\n" + row.format("lang", "min. frequency", "vocabulary", "dev covered"))
    for c in found.coverage:
        covered = "-" if c.of_dev is None else f"{100 * c.of_dev:.2f} %"
        typer.echo(row.format(c.language, c.min_frequency, c.words, covered))


def _draw(found: Stats, picture: Path) -> None:
    from showtell.cli.extras import needs
    from showtell.view.data_plots import draw_data

    lengths = {g.language: g.lengths for g in found.groups if g.split == "train"}
    coverage = {
        language: [(c.min_frequency, c.words, c.of_dev) for c in found.coverage if c.language == language]
        for language in found.frequencies
    }
    with needs("train"):
        draw_data(lengths, found.frequencies, coverage, picture)
    typer.echo(f"{picture}: written", err=True)
