"""A Parquet file, here or in storage: what opens it, and how it is called. Small, and can go to another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from showtell.errors import BadImage
from showtell.remote.client import ObjectStatus
from showtell.remote.opened import OpenedObject, open_url


@dataclass(frozen=True)
class LocalTable:
    path: Path
    modified: int
    """Modification time in ns: with another, the photos in it are others."""

    def open(self) -> Path:
        return self.path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, repr=False)
class RemoteTable:
    url: str
    status: ObjectStatus

    @property
    def path(self) -> PurePosixPath:
        """For its name."""
        return PurePosixPath(self.url)

    def open(self) -> OpenedObject:
        """Raises BadImage."""
        file = open_url(self.url)
        if not isinstance(file, OpenedObject) or file.status != self.status:
            raise BadImage("unreadable", "the table has changed since it was first read; run it again")
        return file

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        """What the data and the cache of features are known by; the same tomorrow."""
        return f"{type(self).__name__}({self.url!r}, {self.status.version})"


TableFile = LocalTable | RemoteTable
