from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from showtell.cli.renamed_options import renamed
from showtell.errors import BadConfig

app = typer.Typer()


@app.command()
def example(
    min_confidence: Annotated[float, typer.Option()] = 0.0,
    min_score: Annotated[str | None, renamed("--min-score", "--min-confidence")] = None,
    grid: Annotated[bool, renamed("--grid", "--attention-grid")] = False,
) -> None:
    typer.echo(f"{min_confidence} {min_score} {grid}")


def test_the_new_name_works_and_the_old_ones_are_hidden() -> None:
    assert CliRunner().invoke(app, ["--min-confidence", "0.5"]).stdout == "0.5 None False\n"
    assert CliRunner().invoke(app, []).exit_code == 0
    help_text = CliRunner().invoke(app, ["--help"]).stdout
    assert "--min-confidence" in help_text and "--min-score" not in help_text and "--grid" not in help_text


@pytest.mark.parametrize(
    ("arguments", "old", "new"),
    [
        (["--min-score", "0.5"], "--min-score", "--min-confidence"),
        (["--min-score", "no number"], "--min-score", "--min-confidence"),
        (["--min-score=0", "--min-confidence", "wrong"], "--min-score", "--min-confidence"),
        (["--grid"], "--grid", "--attention-grid"),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(arguments: list[str], old: str, new: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, BadConfig), "which the command prints in one line, with exit code 2"
    assert str(result.exception) == f"found {old}, an option that has been renamed; expected {new}"
