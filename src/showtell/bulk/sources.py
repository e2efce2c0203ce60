"""What the command line names, as a stream of images: one registry of containers beside files and folders.

    photo.jpg, folder, -          core.sources, as for a few photos
    s3://bucket/photos/, gs://    object storage                      (remote_source)
    table.csv, .tsv, .jsonl       the photos that a column names      (table_source)
    shard.tar, .tar.gz            the photos in it, WebDataset's      (tar_source)
    part.parquet                  photos in a column, or their paths  (parquet_source)

A container, on a disk, in object storage or on a web server, is read as it is needed, and never unpacked. One that
cannot be read, or only in part, is a row with an error after those that could be read, as a broken photo is.

A container of a web server may be on any host: whoever gives the command names it. Photos at http and https are often
named by tables and lists of others, and are fetched from public addresses only (`fetch`).
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from showtell.bulk.container_file import ContainerFile, LocalFile, RemoteFile, named_url
from showtell.bulk.remote_source import NamedObject, expand
from showtell.core.sources import ImageInput, find_images
from showtell.errors import BadImage, StorageUnreachable
from showtell.folder_scan import PassedOver, unreadable
from showtell.image_formats import SIGNATURE_BYTES, format_of_bytes, format_of_suffix
from showtell.urls import is_stored, is_url, is_web, without_secrets

Reader = Callable[[ContainerFile, str | None], Iterator[ImageInput]]
"""From a file, and the name of the column that the user gave, to its images."""


def _table(file: ContainerFile, column: str | None) -> Iterator[ImageInput]:
    from showtell.bulk.table_source import read_table

    return read_table(file, column)


def _tar(file: ContainerFile, column: str | None) -> Iterator[ImageInput]:
    from showtell.bulk.tar_source import read_tar

    return read_tar(file)


def _parquet(file: ContainerFile, column: str | None) -> Iterator[ImageInput]:
    from showtell.bulk.parquet_source import read_parquet

    return read_parquet(file, column)


CONTAINERS: Final[dict[str, Reader]] = {
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".ndjson"), _table),
    **dict.fromkeys((".tar", ".tar.gz", ".tgz"), _tar),
    ".parquet": _parquet,
}


def find_inputs(
    names: Iterable[str],
    stdin: BufferedIOBase | None = None,
    *,
    null_separated: bool = False,
    column: str | None = None,
    passed_over: PassedOver | None = None,
) -> Iterator[ImageInput]:
    """The images that `names` name, in order, lazily; see `core.sources.find_images`, which this extends by containers,
    by object storage, and by wildcards that the shell left.

    Raises BadConfig for a column that a container does not have, and for missing credentials, when it comes to that.
    """
    counter = PassedOver() if passed_over is None else passed_over
    for name in names:
        if name == "-":
            for image in find_images([name], stdin, null_separated=null_separated, passed_over=counter):
                yield from _listed(image, counter)
        elif is_stored(name):
            yield from _stored(name, column, counter)
        else:
            for path in _matching(name):
                yield from _named(path, column, counter)


def count_inputs(names: Iterable[str]) -> int | None:
    """How many there are, for the time left. None where that means reading or listing all: of containers, object
    storage, a list on stdin."""
    paths = [path for name in names for path in _matching(name)]
    if any(path == "-" or is_stored(path) or container_reader(path) for path in paths):
        return None
    return sum(1 for _ in find_images(paths))


def container_reader(name: str) -> Reader | None:
    """By the ending. A file on the disk is none where its bytes are those of an image, or it is a folder."""
    if name == "-":
        return None
    reader = _reader_of_suffix(name)
    if reader is None or is_url(name):
        is_file = is_stored(name) or is_web(name)
        return reader if is_file else None
    if Path(name).is_dir():
        return None
    try:
        with Path(name).open("rb") as file:
            if format_of_bytes(file.read(SIGNATURE_BYTES), name) is not None:
                return None
    except (OSError, ValueError):
        return None  # as a photo it is reported
    return reader


def without_signature(name: str) -> str:
    """The name of an input as the ledger may keep it: that of a container on a web server has no query, which may be a
    signature, and another one the next day."""
    return RemoteFile(name).name if is_url(name) and container_reader(name) is not None else name


def _reader_of_suffix(name: str) -> Reader | None:
    try:
        lower = without_secrets(name).lower()
    except ValueError:  # no URL; as a photo it is reported
        return None
    return next((reader for suffix, reader in CONTAINERS.items() if lower.endswith(suffix)), None)


def _named(name: str, column: str | None, counter: PassedOver) -> Iterator[ImageInput]:
    reader = container_reader(name)
    if reader is None:
        yield from find_images([name], passed_over=counter)
    else:
        yield from _contained(reader, RemoteFile(name) if is_url(name) else LocalFile(Path(name)), column)


def _stored(name: str, column: str | None, counter: PassedOver, *, is_listed: bool = False) -> Iterator[ImageInput]:
    """`is_listed`: by a list on stdin, which names photos and folders."""
    try:
        for item in expand(name, counter, _is_file, patterns=not is_listed):
            reader = _reader_of_suffix(item.url) if isinstance(item, NamedObject) and not is_listed else None
            if isinstance(item, ImageInput):
                yield item
            elif reader is None:
                yield named_url(item.url, item.url)
            else:
                yield from _contained(reader, RemoteFile(item.url), column)
    except BadImage as error:
        yield _in_place_of_the_rest(name, error)


def _listed(image: ImageInput, counter: PassedOver) -> Iterator[ImageInput]:
    if image.error is None and image.read is None and is_stored(image.path):
        yield from _stored(image.path, None, counter, is_listed=True)
    else:
        yield image


def _contained(reader: Reader, file: ContainerFile, column: str | None) -> Iterator[ImageInput]:
    try:
        yield from reader(file, column)
    except BadImage as error:
        yield _in_place_of_the_rest(file.name, error)
    except OSError as error:
        yield ImageInput(file.name, unreadable(error))


def _in_place_of_the_rest(name: str, error: BadImage) -> ImageInput:
    """Of a listing or container that broke. Raises StorageUnreachable where the rest may be there the next time: with a
    row in place of it, a run would be complete without it."""
    if error.code == "url_failed":
        raise StorageUnreachable(f"{name}: {error.detail}; the same command goes on") from error
    return ImageInput(name, error)


def _is_file(path: str) -> bool:
    return format_of_suffix(path) is not None or _reader_of_suffix(path) is not None


def _matching(name: str) -> list[str]:
    """The files that a pattern matches, in order; itself where it is none, or nothing matches."""
    if name == "-" or is_url(name) or not glob.has_magic(name) or os.path.lexists(name):
        return [name]
    return sorted(glob.glob(name, recursive=True)) or [name]  # noqa: PTH207 (Path.glob takes no absolute pattern)
