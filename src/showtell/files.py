"""Atomic writing of files, names beside them, and their hashes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from showtell.errors import OUTPUT_ERRNOS, OutputError, ShowtellError

MAX_NAME_BYTES: Final = 255
"""Of a file name, where the file system does not say."""
_PROBE_BYTES: Final = 1 << 20


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it becomes `path`, safely on disk, unless the block raises.

    Every run has its own temporary name. A link is followed: the file that it names is replaced, not the link. A device
    or a pipe gets the content when it is complete. Raises OutputError when the disk is full or fails, whatever error
    that is to the library that writes.
    """
    direct = is_stream(path)
    target = Path(os.path.realpath(path))
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(
            prefix=_prefix(target), suffix=".part", dir=tempfile.gettempdir() if direct else target.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        if direct:
            with temporary.open("rb") as source, path.open("wb") as stream:
                shutil.copyfileobj(source, stream)
            temporary.unlink()
            return
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; the result gets the usual permissions.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except BaseException as error:
        reason = _output_problem(error, temporary)
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if reason is not None:
            raise OutputError.of(path, reason) from error
        raise


def is_stream(path: Path) -> bool:
    """Whether it is a device or a pipe, which is written to and cannot be replaced by a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    # What /dev/stdout leads to may be a file; /dev/shm holds nothing else.
    is_descriptor = re.match(r"/dev/(stdout|stderr|fd/)|/proc/[^/]+/fd/", str(path)) is not None
    return is_descriptor or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def allocate(path: Path, size: int) -> None:
    """Make a file at least `size` bytes long, all of them on the disk. Raises OutputError when they do not fit.

    For memory maps: a page of a sparse file that finds no room ends the process (SIGBUS).
    """
    try:
        with path.open("ab") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise OutputError.of(path, error) from error


def beside(path: Path, suffix: str, prefix: str = "") -> Path:
    """The name of a file that belongs to `path`: `prefix`, its name and `suffix`.

    Where that would be too long, the name is cut, and a few digits of its hash keep it apart from its like.
    """
    limit = _name_limit(path.parent)
    name = f"{prefix}{path.name}{suffix}"
    if _length(name) > limit:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
        name = f"{prefix}{_cut(path.name, limit - _length(f'{prefix}~{digest}{suffix}'))}~{digest}{suffix}"
    return path.with_name(name)


def sha256(path: Path) -> str:
    """The file's hash in hexadecimal; read in blocks, since a model may be larger than memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _output_problem(error: BaseException, temporary: Path | None) -> OSError | None:
    """Why the disk took no more, if that is what `error` comes from.

    Libraries lose the number of the error: Pillow raises an OSError without one, safetensors its own exception. The
    disk is asked then: it does not take another megabyte either.
    """
    if isinstance(error, OSError) and error.errno:
        return error if error.errno in OUTPUT_ERRNOS else None
    if temporary is None or not isinstance(error, Exception) or isinstance(error, ShowtellError):
        return None
    try:
        with temporary.open("ab") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as reason:
        return reason if reason.errno in OUTPUT_ERRNOS else None
    return None


def _prefix(path: Path) -> str:
    room = _name_limit(path.parent) - _length("..12345678.part")
    return f".{_cut(path.name, room)}."


def _name_limit(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, AttributeError, ValueError):  # AttributeError: Windows
        return MAX_NAME_BYTES


def _cut(name: str, size: int) -> str:
    """The beginning of the name, at most `size` bytes of whole characters."""
    while _length(name) > size:
        name = name[:-1]
    return name


def _length(name: str) -> int:
    return len(os.fsencode(name))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
