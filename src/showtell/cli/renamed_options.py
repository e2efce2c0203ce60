"""Options that have been renamed: the old name is refused with the new one, for one version."""

from __future__ import annotations

from typing import Any

import typer

from showtell.errors import BadConfig


def renamed(old: str, new: str) -> Any:
    """A hidden option `old`, with or without a value, that raises BadConfig naming `new`.

    Use: `min_score: Annotated[str | None, renamed("--min-score", "--min-confidence")] = None`. For a flag, annotate
    `bool` with the default False.
    """

    def refuse(context: typer.Context, value: Any) -> Any:
        if value is not None and value is not False and not context.resilient_parsing:
            raise BadConfig(f"found {old}, an option that has been renamed; expected {new}")
        return value

    return typer.Option(old, hidden=True, is_eager=True, callback=refuse)
