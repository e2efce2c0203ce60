"""What the command line names, as a stream of images: one registry of containers beside files and folders.

    photo.jpg, folder, URL, -     core.sources, as for a few photos
    table.csv, .tsv, .jsonl       the photos that a column names      (table_source)
    shard.tar, .tar.gz            the photos in it, WebDataset's      (tar_source)
    part.parquet                  photos in a column, or their paths  (parquet_source)

A container is read as it is needed, and never unpacked. One that cannot be read, or only in part, is a row with an
error after those that could be read, as a broken photo is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from showtell.core.sources import ImageInput, find_images, is_url
from showtell.errors import BadImage
from showtell.folder_scan import PassedOver, unreadable
from showtell.image_formats import SIGNATURE_BYTES, format_of_bytes

Reader = Callable[[Path, str | None], Iterator[ImageInput]]
"""From a file, and the name of the column that the user gave, to its images."""


def _table(path: Path, column: str | None) -> Iterator[ImageInput]:
    from showtell.bulk.table_source import read_table

    return read_table(path, column)


def _tar(path: Path, column: str | None) -> Iterator[ImageInput]:
    from showtell.bulk.tar_source import read_tar

    return read_tar(path)


def _parquet(path: Path, column: str | None) -> Iterator[ImageInput]:
    from showtell.bulk.parquet_source import read_parquet

    return read_parquet(path, column)


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
    """The images that `names` name, in order, lazily; see `core.sources.find_images`, which this extends by containers.

    Raises BadConfig for a column that a container does not have, when it comes to that.
    """
    for name in names:
        reader = container_reader(name)
        if reader is None:
            yield from find_images([name], stdin, null_separated=null_separated, passed_over=passed_over)
            continue
        try:
            yield from reader(Path(name), column)
        except BadImage as error:
            yield ImageInput(name, error)
        except OSError as error:
            yield ImageInput(name, unreadable(error))


def count_inputs(names: Iterable[str]) -> int | None:
    """How many there are, for the time left. None where that means reading all: of containers, a list on stdin."""
    names = list(names)
    if "-" in names or any(container_reader(name) for name in names):
        return None
    return sum(1 for _ in find_images(names))


def container_reader(name: str) -> Reader | None:
    """By the file's ending, unless its bytes are those of an image, or it is a folder."""
    if name == "-" or is_url(name):
        return None
    lower = name.lower()
    suffix = next((suffix for suffix in CONTAINERS if lower.endswith(suffix)), None)
    if suffix is None or Path(name).is_dir():
        return None
    try:
        with Path(name).open("rb") as file:
            if format_of_bytes(file.read(SIGNATURE_BYTES), name) is not None:
                return None
    except (OSError, ValueError):
        return None  # as a photo it is reported
    return CONTAINERS[suffix]
