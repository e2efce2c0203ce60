"""Atomic writing of files, names beside them, and their hashes.

Whatever a save changes on the disk goes through `disk`, so that tests make each call fail, or the process end in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from showtell.errors import OUTPUT_ERRNOS, OutputError, ShowtellError

MAX_NAME_BYTES: Final = 255
"""Of a file name, where the file system does not say."""
_PROBE_BYTES: Final = 1 << 20
_BLOCK: Final = 4096
_PART: Final = ".part"
"""At the end of temporary names."""


class Disk:
    """The operations of a save. All raise OSError; `write` also what the library raises that writes."""

    def write(self, path: Path, write: Callable[[Path], object]) -> None:
        """`write` puts the content into the file `path`, which exists and is empty."""
        write(path)

    def append(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, path: Path) -> None:
        """What was written is on the disk, and survives the loss of the machine."""
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        sync_folder(folder)


disk = Disk()


def sync_folder(folder: Path) -> None:
    """New names in the folder are on the disk. Systems without that (Windows) write them at once."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def replacing(
    path: Path, check: Callable[[Path], object] | None = None, previous: Path | None = None
) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it becomes `path`, safely on disk, unless the block raises.

    Every run has its own temporary name. A link is followed: the file that it names is replaced, not the link. A device
    or a pipe gets the content when it is complete. `check` reads the file once it is on the disk, and raises where it
    is not what was written. `previous`: the name in the same folder that the replaced file gets.

    Raises OutputError when the disk is full or fails, whatever error that is to the library that writes.
    """
    direct = is_stream(path)
    target = Path(os.path.realpath(path))
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(
            prefix=_prefix(target), suffix=_PART, dir=tempfile.gettempdir() if direct else target.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        if direct:
            with temporary.open("rb") as source, path.open("wb") as stream:
                shutil.copyfileobj(source, stream)
            temporary.unlink()
            return
        disk.sync(temporary)
        if check is not None:
            _drop_cached(temporary)
            check(temporary)
        # mkstemp makes files that only their owner can read; the result gets the usual permissions.
        temporary.chmod(0o666 & ~_umask())
        if previous is not None and target.exists():
            disk.rename(target, previous)
        disk.rename(temporary, target)
        disk.sync_folder(target.parent)
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


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes were writing in `folder`, where no other process writes now."""
    for file in folder.glob(f".*{_PART}"):
        file.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        disk.write(temporary, lambda file: file.write_text(text, encoding="utf-8"))


def append_line(path: Path, line: str) -> None:
    """One line more of a file that is made if there is none: all of it or nothing. What a killed process left of a line
    goes. Raises OutputError when the disk is full or fails."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            end = _end_of_last_line(descriptor)
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            try:
                disk.append(descriptor, f"{line}\n".encode())
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in OUTPUT_ERRNOS:
            raise OutputError.of(path, error) from error
        raise


def read_lines(path: Path) -> list[str]:
    """The complete lines of a file that `append_line` writes."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


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


def _drop_cached(path: Path) -> None:
    """Where the system can: the next reader gets the file from the disk, not from memory."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _end_of_last_line(descriptor: int) -> int:
    """How many bytes of the file are complete lines."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        begin = max(0, end - _BLOCK)
        os.lseek(descriptor, begin, os.SEEK_SET)
        found = os.read(descriptor, end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _prefix(path: Path) -> str:
    room = _name_limit(path.parent) - _length(f"..12345678{_PART}")
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
