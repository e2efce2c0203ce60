"""What is in a tar file of photos and captions: where each photo is, and the texts beside it.

A tar is not compressed, so a photo is a stretch of the file: its headers are read once, and its photos later, in any
order.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from showtell.errors import BadData
from showtell.image_formats import IMAGE_SUFFIXES, has_undecoded_suffix

TEXT_SUFFIXES = frozenset({".txt", ".caption", ".captions", ".json"})


class Stretch(NamedTuple):
    """In bytes."""

    offset: int
    size: int


@dataclass
class ShardIndex:
    """A key is a member's name without its ending."""

    photos: dict[str, Stretch] = field(default_factory=dict)
    texts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """By key and ending, `.json` and so on."""
    undecoded: list[str] = field(default_factory=list)
    """Names of pictures of a format that is not read."""
    hidden: int = 0


def scan(source: object, file: BinaryIO) -> ShardIndex:
    """The index of the tar in `file`; `source` is its name in messages.

    Raises BadData for a tar that is broken or cut, for links and sparse files in place of photos, and for two photos of
    one key; and what reading raises that is no OSError.
    """
    index = ShardIndex()
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                _add(index, source, tar, member)
            _check_end(file, tar.offset)
    except (OSError, tarfile.TarError) as error:
        raise BadData(
            source, f"no whole tar file ({error})", "an uncompressed tar; make or download it again"
        ) from error
    return index


def _add(index: ShardIndex, source: object, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    path = Path(member.name)
    suffix, key = path.suffix.lower(), str(path.with_suffix(""))
    if path.name.startswith("."):
        index.hidden += 1
        return
    if has_undecoded_suffix(path):
        index.undecoded.append(member.name)
    if suffix not in IMAGE_SUFFIXES | TEXT_SUFFIXES:
        return
    if not member.isreg() or member.issparse():
        raise BadData(source, f"{member.name}, which is a link, a folder or sparse", "plain files")
    if suffix in TEXT_SUFFIXES:
        opened = tar.extractfile(member)
        index.texts.setdefault(key, {})[suffix] = opened.read() if opened else b""
    elif key in index.photos:
        raise BadData(source, f"two photos of {key}", "one photo for each key")
    else:
        index.photos[key] = Stretch(member.offset_data, member.size)


def _check_end(file: BinaryIO, offset: int) -> None:
    """tarfile takes a file that was cut, or a damaged header, for the end; a whole tar ends with zeros.

    Raises tarfile.ReadError.
    """
    file.seek(offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end mark at byte {offset}, after the last file that can be read")
