"""`showtell data`"""

from __future__ import annotations

from typing import Annotated

import typer

from showtell.cli.features import features

app = typer.Typer(help="Look at data before training on it.", no_args_is_help=True)

app.command()(features)

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="flickr:DIR, csv:FILE, jsonl:FILE, folder:DIR or shapes:N.")]
Languages = Annotated[list[str], typer.Option("--lang", help="Language of the captions; may be repeated.")]


@app.command()
def check(spec: Spec, lang: Languages = ["en"]) -> None:  # noqa: B006 (typer copies it)
    """Read every caption and photo, and name what is wrong with the photos.

    A caption file that makes no sense stops it, with the line.
    """
    from showtell.core.image import load_image
    from showtell.data.checks import check as find
    from showtell.data.spec import read_samples

    found = find(read_samples(spec, lang), load_image)
    for problem in found.unreadable:
        typer.echo(f"{problem.name}: unreadable: {problem.reason}")
    for names in found.identical:
        typer.echo(f"{', '.join(names)}: the same file")
    for name in found.repeated:
        typer.echo(f"{name}: more than once in its split")
    for name in found.in_several_splits:
        typer.echo(f"{name}: in several splits")
    typer.echo(f"{found.images} images checked", err=True)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def stats(spec: Spec, lang: Languages = ["en"]) -> None:  # noqa: B006 (typer copies it)
    """Count images, captions and words by split and language."""
    from showtell.data.checks import stats as count
    from showtell.data.spec import read_samples

    row = "{:8}{:6}{:>9}{:>11}{:>9}{:>10}{:>7}{:>9}"
    typer.echo(row.format("split", "lang", "images", "captions", "words", "shortest", "mean", "longest"))
    for g in count(read_samples(spec, lang)).groups:
        cells = (g.images, g.captions, g.different_words, g.shortest, f"{g.mean:.1f}", g.longest)
        typer.echo(row.format(g.split, g.language, *cells))
