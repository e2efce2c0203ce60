"""Every change that a bulk run makes to files, as one class: a test makes each call fail, or the process die in it.

Reading is not here: it changes nothing. Rejected: a fake file system under the tests. It would test the fake, not what
the kernel does with a truncated or renamed file.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from showtell.files import beside, sync_folder
from showtell.terminal import write_all

FILES_AT_ONCE: Final = 64
"""Open at the same time; systems allow a process some hundreds."""
_BINARY = getattr(os, "O_BINARY", 0)


class Storage:
    """The operations, each one call of the system. All raise OSError."""

    def open(self, path: Path) -> int:
        """A descriptor to write with; the file is made if there is none."""
        return os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)

    def write(self, descriptor: int, data: bytes) -> None:
        write_all(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """What was written is on the disk, and survives the loss of the machine."""
        os.fsync(descriptor)

    def sync_all(self, descriptors: Sequence[int]) -> None:
        """`sync` of several at the same time: a file system writes them in one go then, which takes as long as one."""
        with ThreadPoolExecutor(len(descriptors), "showtell-sync") as threads:
            list(threads.map(os.fsync, descriptors))

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        sync_folder(path)


class AppendedFile:
    """A file that grows at its end. `size` is what this run knows of it; what lies beyond is cut off."""

    def __init__(self, storage: Storage, path: Path, size: int) -> None:
        """Opens it with `size` bytes. Raises OSError, also where it is shorter."""
        self.path, self.size, self._storage = path, size, storage
        self.descriptor = storage.open(path)
        try:
            found = os.fstat(self.descriptor).st_size
            if found < size:
                raise OSError(errno.EIO, f"found {found} bytes, expected {size}")
            if found > size:
                storage.truncate(self.descriptor, size)
            os.lseek(self.descriptor, size, os.SEEK_SET)
        except BaseException:
            self.close()
            raise

    def append(self, data: bytes) -> None:
        """All of it or nothing. Raises OSError."""
        try:
            self._storage.write(self.descriptor, data)
        except OSError:
            with contextlib.suppress(OSError):
                self._storage.truncate(self.descriptor, self.size)
                os.lseek(self.descriptor, self.size, os.SEEK_SET)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Raises OSError, also where another process has changed the file, as it can where there are no locks."""
        found = os.fstat(self.descriptor).st_size
        if found != self.size:
            raise OSError(errno.EBUSY, f"another run changes {self.path}: found {found} bytes, expected {self.size}")
        self._storage.sync(self.descriptor)

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file: folders are moved and removed."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except OSError:
            return False

    def close(self) -> None:
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            with contextlib.suppress(OSError):  # what counts was synced before, and the rest does not matter
                self._storage.close(descriptor)


def write_file(storage: Storage, path: Path, data: bytes) -> None:
    """As `write_files`, one."""
    write_files(storage, {path: data})


def write_files(storage: Storage, contents: Mapping[Path, bytes]) -> None:
    """Whole files under temporary names beside their own, then renamed: each is there whole or not at all.

    A temporary name is always the same, so that a killed run leaves few, which the next one writes over.
    """
    paths = list(contents)
    for begin in range(0, len(paths), FILES_AT_ONCE):
        files: list[AppendedFile] = []
        try:
            for path in paths[begin : begin + FILES_AT_ONCE]:
                files.append(AppendedFile(storage, beside(path, ".part", "."), 0))
                files[-1].append(contents[path])
            storage.sync_all([file.descriptor for file in files])
        finally:
            for file in files:
                file.close()
        for file, path in zip(files, paths[begin : begin + FILES_AT_ONCE], strict=True):
            storage.replace(file.path, path)
