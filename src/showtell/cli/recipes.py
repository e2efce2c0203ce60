"""`showtell recipes`"""

from __future__ import annotations

from typing import Annotated

import typer


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One recipe, with every setting written out.")
    ] = None,
) -> None:
    """List the recipes, or print one."""
    from showtell.config import dump_recipe, parse_recipe
    from showtell.recipes import find_recipe, names

    if name is not None:
        typer.echo(dump_recipe(parse_recipe(find_recipe(name), name)), nl=False)
        return
    for each in names():
        typer.echo(f"{each:24}{parse_recipe(find_recipe(each), each).description}")
