"""`showtell recipes`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

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
    if not only_yaml:
        _explain(recipe, vocabulary or recipe.text.size or VOCABULARY)
    typer.echo(dump_recipe(recipe), nl=False)


def _list(rows: list[tuple[str, str]]) -> None:
    """A line each, or, on a terminal, as wide as that is."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        for name, description in rows:
            typer.echo(f"{name:24}{description}")
        return
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _explain(recipe: Recipe, vocabulary: int) -> None:
    for title, text in (("", recipe.description), ("source: ", recipe.source), ("made for: ", recipe.data_hint)):
        if text:
            typer.echo(title + text)
    typer.echo(f"\nparameters, with {vocabulary:,} words")
    try:
        from showtell.nets.parameters import Row, parameter_table
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("showtell"):
            raise
        typer.echo(f"(counting needs {error.name}; run: pip install 'showtell[train]')\n")
        return
    rows = parameter_table(recipe, vocabulary)
    total = Row("total", sum(row.trained for row in rows), sum(row.frozen for row in rows))
    typer.echo(f"{'part':28}{'trained':>14}{'frozen':>14}{'total':>14}")
    for row in (*rows, total):
        typer.echo(f"{row.part:28}{row.trained:>14,}{row.frozen:>14,}{row.trained + row.frozen:>14,}")
    typer.echo()
