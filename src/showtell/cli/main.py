"""The `showtell` command: collects the commands, and turns errors into one line and an exit code.

Exit codes: 0 success; 1 some inputs failed, all others are done; 2 wrong usage, nothing done; 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from showtell import __version__
from showtell.cli import calibrate, caption, compare, data, evaluate, export, recipes, score, serve, sweep, train
from showtell.errors import ShowtellError

app = typer.Typer(
    help="Image captioning: give it a photo, it writes a caption; give it photos with captions, it trains a model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"showtell {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before a command."""


app.command("caption")(caption.caption)
app.command("serve")(serve.serve)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("export")(export.export)
app.command("evaluate")(evaluate.evaluate)
app.command("calibrate")(calibrate.calibrate)
app.command("score")(score.score)
app.command("compare")(compare.compare)
app.command("recipes")(recipes.recipes)
app.add_typer(data.app, name="data")


def main() -> None:
    try:
        app()
    except ShowtellError as error:
        print(f"showtell: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("showtell: interrupted", file=sys.stderr)
        sys.exit(130)
