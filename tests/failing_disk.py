"""A disk that fails at a chosen operation of a save, or with which the process dies there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from showtell.files import Disk

Moment = Literal["before", "half", "after"]


class Killed(BaseException):
    """In place of SIGKILL: nothing after it reaches a file."""


class FailingDisk(Disk):
    """`end` is called at operation `at`, counted from 1: `before` or `after` it is done, or with `half` of what is
    written. Once `end` has raised Killed, every later operation raises it as well."""

    def __init__(self, at: int, moment: Moment, end: Callable[[], None]) -> None:
        self.at, self.moment, self.end = at, moment, end
        self.done: list[str] = []
        """Every operation so far: what, and the names of its files."""
        self.is_dead = False

    @property
    def has_failed(self) -> bool:
        return len(self.done) >= self.at

    def _call(self, name: str, do: Callable[[], object], half: Callable[[], object] = lambda: None) -> None:
        if self.is_dead:
            raise Killed
        self.done.append(name)
        if len(self.done) != self.at:
            do()
            return
        if self.moment == "half":
            half()
        elif self.moment == "after":
            do()
        try:
            self.end()
        except Killed:
            self.is_dead = True
            raise

    def write(self, path: Path, write: Callable[[Path], object]) -> None:
        def half() -> None:
            write(path)
            os.truncate(path, path.stat().st_size // 2)

        self._call("write", lambda: write(path), half)

    def append(self, descriptor: int, data: bytes) -> None:
        self._call(
            "append",
            lambda: Disk.append(self, descriptor, data),
            lambda: Disk.append(self, descriptor, data[: len(data) // 2]),
        )

    def sync(self, path: Path) -> None:
        self._call("sync", lambda: Disk.sync(self, path))

    def rename(self, source: Path, target: Path) -> None:
        self._call(f"rename to {target.name}", lambda: Disk.rename(self, source, target))

    def sync_folder(self, folder: Path) -> None:
        self._call(f"sync {folder.name}/", lambda: Disk.sync_folder(self, folder))


def die() -> None:
    raise Killed


def fail(number: int) -> Callable[[], None]:
    """An error of the system with that number."""

    def end() -> None:
        raise OSError(number, os.strerror(number))

    return end
