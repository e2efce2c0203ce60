"""Photos in a tar file, as WebDataset has them: `000123.jpg` beside `000123.txt`, `000123.json` and so on.

An uncompressed tar is a sequence of byte ranges: only headers are read at first, and each photo when it is its turn, by
whichever thread loads it. In object storage and on a web server, where a request takes as long as a megabyte, that
holds for large photos only, and small ones are read with the headers around them. A compressed tar is read once from
its beginning. Members of one key follow each other; each
picture among them is an input, `shard.tar/000123.jpg`, in the order of the file.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from showtell.bulk.container_file import ContainerFile, InMemory, suffix_of
from showtell.core.image import MAX_BYTES
from showtell.core.sources import ImageInput
from showtell.errors import BadImage
from showtell.folder_scan import skip_reason
from showtell.image_formats import format_of_suffix


def read_tar(file: ContainerFile) -> Iterator[ImageInput]:
    """Raises BadImage where no more can be read."""
    compressed = suffix_of(file) != ".tar"
    try:
        with file.open() as raw, tarfile.open(fileobj=raw, mode="r|*" if compressed else "r:") as tar:
            read_part = None if compressed else file.parts(raw)
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all of them otherwise
                if member.isfile() and _is_photo(member.name):
                    key = f"{file.name}/{member.name}"
                    if read_part is None:
                        yield ImageInput(key, read=InMemory(_read(tar, member)))
                    else:
                        yield ImageInput(key, read=read_part(member.offset_data, member.size))
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
