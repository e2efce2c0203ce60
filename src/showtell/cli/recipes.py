"""`showtell recipes`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from showtell.cli.extras import needs
from showtell.errors import MissingExtra
from showtell.terminal import echo, stdout

if TYPE_CHECKING:
    from showtell.settings import Recipe

DEFAULT_VOCAB_SIZE = 10_000
"""For the parameter table of a recipe whose vocabulary size depends on the data."""


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One recipe, explained.")] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings that differ, as in train.")
    ] = None,
    only_yaml: Annotated[bool, typer.Option("--yaml", help="Print the settings alone, as a recipe file.")] = False,
    vocabulary: Annotated[
        int | None, typer.Option(min=1, help="Vocabulary size for the parameters; default: text.vocab_size, or 10,000.")
    ] = None,
) -> None:
    """List the recipes, or explain one: its source, its layers and their parameters, every setting."""
    from showtell.config import apply_overrides, dump_recipe, parse_recipe
    from showtell.recipes import find_recipe, names
    from showtell.train.start_from import complete

    if name is None:
        _list([(known, parse_recipe(find_recipe(known), known).description) for known in names()])
        return
    raw = apply_overrides(find_recipe(name), settings or [])
    with needs("train"):
        raw = complete(raw)
    recipe = parse_recipe(raw, name)
    explained = [] if only_yaml else _explained(recipe, vocabulary)
    for line in [*explained, *dump_recipe(recipe).rstrip("\n").split("\n")]:
        echo(line)


def _list(rows: list[tuple[str, str]]) -> None:
    """One line per recipe, for grep and cut; on a terminal a table of its width."""
    screen = stdout()
    if screen is None or not screen.isatty():
        for name, description in rows:
            echo(f"{name:24}{description}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for name, description in rows:
        table.add_row(name, Text(description))
    Console(file=screen).print(table)


def _explained(recipe: Recipe, vocabulary: int | None) -> list[str]:
    """All lines above the settings; built completely before any is printed, so that an error comes alone."""
    parts = (("", recipe.description), ("source: ", recipe.source), ("made for: ", recipe.data_hint))
    return [*(title + text for title, text in parts if text), "", *_parameters(recipe, vocabulary), ""]


def _parameters(recipe: Recipe, vocabulary: int | None) -> list[str]:
    """A line per part of the network, or one line with the reason why there is no table."""
    if recipe.text.kind == "imported" and recipe.text.imported is None:
        return [
            "no table of parameters: model and text are those of train.start_from; give it, as for `showtell train`"
        ]
    try:
        with needs("train"):
            from showtell.nets.parameters import Row, parameter_table
    except MissingExtra as error:
        return [f"no table of parameters: {error}"]
    if vocabulary is not None:
        words, why = vocabulary, "--vocabulary"
    elif recipe.text.vocab_size is not None:
        words, why = recipe.text.vocab_size, "text.vocab_size"
    else:
        words, why = DEFAULT_VOCAB_SIZE, "assumed: training data decide; --vocabulary N sets another number"
    rows = parameter_table(recipe, words)
    rows.append(Row("total", sum(row.trainable for row in rows), sum(row.frozen for row in rows)))
    lines = [f"parameters, with {words:,} words ({why})", f"{'part':28}{'trainable':>14}{'frozen':>14}{'total':>14}"]
    return lines + [
        f"{row.part:28}{row.trainable:>14,}{row.frozen:>14,}{row.trainable + row.frozen:>14,}" for row in rows
    ]
