"""Optional packages: the error for a missing one names its extra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from showtell.errors import MissingExtra


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """A context for the imports of an optional package."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("showtell"):
            raise
        raise MissingExtra(error.name.split(".")[0], extra) from error
