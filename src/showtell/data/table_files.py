"""A Parquet file, here or in storage: what opens it, and how it is called. Small, and can go to another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Protocol

from showtell.errors import BadImage
from showtell.remote.client import ObjectStatus
from showtell.remote.opened import OpenedObject, open_url
from showtell.urls import without_secrets


class TableFile(Protocol):
    @property
    def path(self) -> PurePath:
        """Of a URL, without its query."""

    def open(self) -> Any:
        """What pyarrow reads from. Raises OSError, BadImage."""

    def photo(self, cell: str) -> Path | None:
        """The file that a cell names; None where no cell can."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class LocalTable:
    path: Path
    modified: int
    """Modification time in ns: with another, the photos in it are others."""

    def open(self) -> Path:
        return self.path

    def photo(self, cell: str) -> Path:
        return self.path.parent / cell

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, repr=False)
class RemoteTable:
    url: str
    status: ObjectStatus

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(without_secrets(self.url))

    def open(self) -> OpenedObject:
        file = open_url(self.url)
        if not isinstance(file, OpenedObject) or file.status != self.status:
            raise BadImage("unreadable", "the table has changed since it was first read; run it again")
        return file

    def photo(self, cell: str) -> None:
        return None

    def __str__(self) -> str:
        return without_secrets(self.url)

    def __repr__(self) -> str:
        """What the data and the cache of features are known by; the same tomorrow."""
        return f"{type(self).__name__}({str(self)!r}, {self.status.version})"
