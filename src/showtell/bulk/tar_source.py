"""Photos in a tar file, as WebDataset has them: `000123.jpg` beside `000123.txt`, `000123.json` and so on.

An uncompressed tar is a sequence of byte ranges: only headers are read at first, and each photo when it is its turn, by
whichever thread loads it. A compressed one is read once from its beginning. Members of one key follow each other; each
picture among them is an input, `shard.tar/000123.jpg`, in the order of the file.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from showtell.core.image import MAX_BYTES
from showtell.core.sources import ImageInput
from showtell.errors import BadImage
from showtell.folder_scan import skip_reason
from showtell.image_formats import format_of_suffix


@dataclass(frozen=True)
class TarSlice:
    """A member of an uncompressed tar. Calling it gives its bytes; raises BadImage."""

    file: Path
    offset: int
    size: int
    status: tuple[int, int]
    """Size and modification time of the tar when its headers were read."""

    def __call__(self) -> bytes:
        try:
            with self.file.open("rb") as file:
                if _status(file) != self.status:
                    raise BadImage("unreadable", f"{self.file} has changed since its headers were read; run it again")
                file.seek(self.offset)
                data = file.read(min(self.size, MAX_BYTES + 1))
        except OSError as error:
            raise BadImage("unreadable", f"{self.file}: {error.strerror or error}") from error
        if len(data) < min(self.size, MAX_BYTES + 1):
            raise BadImage("truncated", f"{self.file} ends within the photo; download it again")
        return data


def read_tar(path: Path) -> Iterator[ImageInput]:
    """Raises BadImage where no more can be read."""
    compressed = path.suffix.lower() != ".tar"
    try:
        with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*" if compressed else "r:") as tar:
            status = _status(raw)
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all of them otherwise
                if member.isfile() and _is_photo(member.name):
                    key = f"{path}/{member.name}"
                    if compressed:
                        data = _read(tar, member)
                        yield ImageInput(key, read=lambda data=data: data)  # type: ignore[misc]
                    else:
                        yield ImageInput(key, read=TarSlice(path, member.offset_data, member.size, status))
            if not compressed:
                _check_end(raw, tar.offset)
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        detail = " ".join(str(error).split())
        raise BadImage("truncated", f"no whole tar file ({detail}); make or download it again") from error


def _is_photo(name: str) -> bool:
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    image_format = format_of_suffix(parts[-1]) if parts else None
    return image_format is not None and image_format.is_picture and not any(map(skip_reason, parts))


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = tar.extractfile(member)
    return opened.read(MAX_BYTES + 1) if opened else b""


def _check_end(raw: BinaryIO, offset: int) -> None:
    """tarfile takes a file that was cut, or a damaged header, for the end; a whole tar ends with zeros.

    Raises tarfile.ReadError.
    """
    raw.seek(offset)
    if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end mark at byte {offset}, after the last file that can be read")


def _status(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
