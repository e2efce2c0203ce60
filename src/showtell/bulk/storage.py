"""Every change that a bulk run makes to files, as one class: a test makes each call fail, or the process die in it.

Reading is not here: it changes nothing. Rejected: a fake file system under the tests. It would test the fake, not what
the kernel does with a truncated or renamed file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from showtell.terminal import write_all

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

    def remove_folder(self, path: Path) -> None:
        shutil.rmtree(path)

    def sync_folder(self, path: Path) -> None:
        """New names in the folder are on the disk. Systems without that (Windows) write them at once."""
        with contextlib.suppress(PermissionError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot
                    raise
            finally:
                os.close(descriptor)


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
    """A whole file under a temporary name beside `path`, then renamed: it is there whole or not at all.

    The temporary name is always the same, so that a killed run leaves at most one, which the next one writes over.
    """
    temporary = path.with_name(f".{path.name[:100]}.part")
    file = AppendedFile(storage, temporary, 0)
    try:
        file.append(data)
        file.sync()
    finally:
        file.close()
    storage.replace(temporary, path)
