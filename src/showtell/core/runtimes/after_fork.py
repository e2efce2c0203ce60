"""What a library has loaded, loaded again in a forked process.

Such a process has none of the library's threads: there what was loaded must neither be used nor destroyed, which would
wait for them. It is therefore loaded again on its first use in another process. Rejected: comparing `os.getpid()`
before each run, which does not save a child that ends without a caption.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from showtell.core.bundle import EXTERNAL
from showtell.errors import BadBundle


class Loaded:
    """What `load` makes of the file `path`, in this process."""

    def __init__(self, path: Path, load: Callable[[], Any]) -> None:
        self._path, self._load = path, load
        self._version, self._value = _version(path), load()
        _all.add(self)

    def get(self) -> Any:
        """Raises BadBundle where it has to be loaded again, and the file has changed since."""
        value = self._value
        if value is None:
            if _version(self._path) != self._version:
                raise BadBundle(f"{self._path}: has changed since the captioner was loaded; load it again")
            value = self._value = self._load()
        return value

    def abandon(self) -> None:
        """Without destroying it, not even at the end of the process: its reference count is never 0."""
        if self._value is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._value))
            self._value = None


_all: weakref.WeakSet[Loaded] = weakref.WeakSet()


def _abandon_all() -> None:
    for loaded in list(_all):
        loaded.abandon()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_abandon_all)


def _version(path: Path) -> list[tuple[int, int] | None]:
    """Changes when the graph or a file of its weights is written; None stands for a file that is not there."""
    versions: list[tuple[int, int] | None] = []
    for file in (path, *(path.with_name(name) for name in EXTERNAL)):
        try:
            status = file.stat()
            versions.append((status.st_size, status.st_mtime_ns))
        except OSError:
            versions.append(None)
    return versions
