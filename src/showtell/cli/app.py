"""The commands of `showtell`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from showtell.cli import (
    bench,
    calibrate,
    caption,
    compare,
    data,
    doctor,
    evaluate,
    export,
    fit_reranker,
    import_model,
    recipes,
    score,
    serve,
    sweep,
    train,
)
from showtell.terminal import reserved_stdout


class Command(TyperCommand):
    """A command while which only `showtell.terminal` prints to stdout; its help is printed before that."""

    def invoke(self, ctx: Any) -> Any:
        with reserved_stdout():
            return super().invoke(ctx)


app = typer.Typer(
    help="Image captioning: give it a photo, it writes a caption; give it photos with captions, it trains a model.",
    epilog="Exit codes: 0 all done; 1 some inputs failed, the others are done; 2 wrong usage; 3 the output cannot be "
    "written; 4 training diverged; 128 + n ended by signal n. More in docs/command_line.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from showtell.cli.version import version_lines

        for line in version_lines():
            typer.echo(line)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the versions of showtell, model and runtimes."
        ),
    ] = False,
) -> None:
    """Options before a command."""


app.command("caption")(caption.caption)
app.command("serve")(serve.serve)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("export")(export.export)
app.command("import")(import_model.import_model)
app.command("evaluate")(evaluate.evaluate)
app.command("fit-reranker")(fit_reranker.fit_reranker)
app.command("calibrate")(calibrate.calibrate)
app.command("score")(score.score)
app.command("compare")(compare.compare)
app.command("recipes")(recipes.recipes)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")
for command in (*app.registered_commands, *data.app.registered_commands):
    command.cls = Command
