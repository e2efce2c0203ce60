"""A lock on a file name, so that two runs never write to one place.

The system releases it when its holder ends, however it ends. Rejected: filelock, which needs a tenth of a second to
import and, in some versions, leaves its files behind; a file whose mere existence is the lock, which outlives a killed
process; a process id in a file, which another process may have by now, and which says nothing on another machine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path


class Locked(Exception):
    """Another run holds the lock."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock `path`, a file that is there meanwhile. Yields False on a file system without locks.

    Raises Locked at once when another run holds it, and OSError when the file cannot be made.
    """
    descriptor = _acquire(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            _release(descriptor, path)


def _acquire(path: Path) -> int | None:
    while True:
        descriptor = _open(path)
        try:
            _lock(descriptor)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise Locked from error
        except OSError as error:
            os.close(descriptor)
            if error.errno != errno.EBADF:  # NFS, of a file that was opened for reading only: it may be held
                path.unlink(missing_ok=True)
            return None
        os.close(descriptor)  # its holder has removed it since it was opened


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY)  # left by another user's run that was killed


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error

    def _release(descriptor: int, path: Path) -> None:
        os.close(descriptor)  # an open file cannot be removed
        with contextlib.suppress(OSError):
            path.unlink()

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(descriptor: int, path: Path) -> None:
        with contextlib.suppress(OSError):
            if _is_at(descriptor, path):
                path.unlink()  # before it is released, so that nobody locks a file that is about to go
        os.close(descriptor)
