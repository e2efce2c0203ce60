"""Optional packages: a missing one says which extra brings it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from showtell.errors import MissingExtra


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """Around the imports of an optional room."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("showtell"):
            raise
        raise MissingExtra(error.name.split(".")[0], extra) from error
