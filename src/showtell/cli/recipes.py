"""`showtell recipes`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.cli.extras import needs
from showtell.errors import MissingExtra

if TYPE_CHECKING:
    from showtell.settings import Recipe

VOCABULARY = 10_000
"""Of a recipe that leaves it to the data, for the table of parameters."""


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One recipe, explained.")] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings that differ, as in train.")
    ] = None,
    only_yaml: Annotated[bool, typer.Option("--yaml", help="Print the settings alone, as a recipe file.")] = False,
    vocabulary: Annotated[
        int | None, typer.Option(min=1, help="Words, for the table of parameters; default: text.size, or 10,000.")
    ] = None,
) -> None:
    """List the recipes, or explain one: where it comes from, its layers and their parameters, every setting."""
    from showtell.config import apply_overrides, dump_recipe, parse_recipe
    from showtell.recipes import find_recipe, names

    if name is None:
        _list([(each, parse_recipe(find_recipe(each), each).description) for each in names()])
        return
    recipe = parse_recipe(apply_overrides(find_recipe(name), settings or []), name)
    explained = [] if only_yaml else _explained(recipe, vocabulary)
    typer.echo("".join(f"{line}\n" for line in explained) + dump_recipe(recipe), nl=False)


def _list(rows: list[tuple[str, str]]) -> None:
    """A line each, which grep and cut can read; on a terminal a table as wide as that is."""
    if not sys.stdout.isatty():
        for name, description in rows:
            typer.echo(f"{name:24}{description}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for name, description in rows:
        table.add_row(name, Text(description))
    Console().print(table)


def _explained(recipe: Recipe, vocabulary: int | None) -> list[str]:
    """All lines above the settings; none is printed before the last is known to be right."""
    told = (("", recipe.description), ("source: ", recipe.source), ("made for: ", recipe.data_hint))
    return [*(title + text for title, text in told if text), "", *_parameters(recipe, vocabulary), ""]


def _parameters(recipe: Recipe, vocabulary: int | None) -> list[str]:
    """A line per part of the network, or one that says why there are none."""
    try:
        with needs("train"):
            from showtell.nets.parameters import Row, parameter_table
    except MissingExtra as error:
        return [f"no table of parameters: {error}"]
    if vocabulary is not None:
        words, why = vocabulary, "--vocabulary"
    elif recipe.text.size is not None:
        words, why = recipe.text.size, "text.size"
    else:
        words, why = VOCABULARY, "assumed: training data decide; --vocabulary N sets another number"
    rows = parameter_table(recipe, words)
    rows.append(Row("total", sum(row.trained for row in rows), sum(row.frozen for row in rows)))
    lines = [f"parameters, with {words:,} words ({why})", f"{'part':28}{'trainable':>14}{'frozen':>14}{'total':>14}"]
    return lines + [f"{row.part:28}{row.trained:>14,}{row.frozen:>14,}{row.trained + row.frozen:>14,}" for row in rows]
