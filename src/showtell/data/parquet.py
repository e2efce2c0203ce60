"""`parquet:FILE_OR_FOLDER`: tables with photos in them, as Hugging Face's datasets keep them, or beside them.

FILE may have braces and wildcards where it is a URL of object storage (`shards` has the same); photos are in the table
then.

    image      the photo: bytes, a struct with `bytes` or `path`, or a path relative to the file's folder
    caption    one caption, or a list of them (also: captions, text, comment)
    split, language    optional, as in other tables; without the column, the file's name may say the split

Rows with the same path are captions of one photo; photos within the table are one for each row.

Photos within a file are compressed by groups of rows, so a photo is read by reading its group; the latest two groups
are kept, which makes reading in order fast, as features are made, and any other order slow.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from showtell.columns import columns_of
from showtell.data.containers import ImageRecord, samples_from_records, split_from_file_name
from showtell.data.files import expand_braces, expand_path
from showtell.data.photo_finder import AmbiguousName, PhotoFinder
from showtell.data.remote_files import as_data, find_objects, ranged_status
from showtell.data.rows import SPLITS
from showtell.data.table_files import LocalTable, RemoteTable, TableFile
from showtell.data.text_files import collapse_whitespace
from showtell.errors import BadData, BadImage, MissingExtra
from showtell.records import Sample
from showtell.stages import Stage, silent_stage
from showtell.urls import is_url


@dataclass(frozen=True)
class ParquetImage:
    """An image in a row of a file. Calling it gives its bytes or the path of its file. Raises BadImage."""

    file: TableFile
    group: int
    row: int
    """Within the group."""
    column: str

    def __call__(self) -> bytes | Path:
        try:
            with _one_fetches if isinstance(self.file, RemoteTable) else contextlib.nullcontext():
                images = _images(self.file, self.group, self.column)
            value = images[self.row].as_py()
        except (OSError, _error()) as error:
            raise BadImage("unreadable", f"{self.file}: {' '.join(str(error).split())}") from error
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if not value or (isinstance(value, str) and isinstance(self.file, RemoteTable)):
            raise BadImage("missing", f"no photo in row {self.row} of group {self.group} of {self.file}")
        return value if isinstance(value, bytes) else Path(self.file.path.parent) / value


def remote_parquet(samples: Sequence[Sample]) -> str | None:
    """The first Parquet file in storage that has photos of these samples."""
    images = (sample.image for sample in samples)
    found = (str(i.file) for i in images if isinstance(i, ParquetImage) and isinstance(i.file, RemoteTable))
    return next(found, None)


_one_fetches = threading.Lock()
"""Loader threads that need the same group do not all fetch it."""


@lru_cache(2)  # at the border of two groups, threads need both
def _images(file: TableFile, group: int, column: str) -> Any:
    """The images of one row group."""
    table = _fetched(file) if isinstance(file, RemoteTable) else _parquet().ParquetFile(file.open())
    return table.read_row_group(group, columns=[column]).column(column)


@lru_cache(1)  # its footer and its latest blocks are in memory
def _fetched(file: RemoteTable) -> Any:
    return _parquet().ParquetFile(file.open())


def read_parquet(location: str, languages: Sequence[str], stage: Stage = silent_stage) -> list[Sample]:
    """`stage` shows how far the reading of remote tables has come.

    Raises BadData for missing columns and broken files, MissingExtra without pyarrow; StorageUnreachable and BadConfig
    for remote ones."""
    _parquet()
    tables = _remote_tables(location, stage) if is_url(location) else _local_tables(expand_path(location))
    records = (record for table in tables for record in parquet_records(table))
    return samples_from_records(records, languages, location)


def _local_tables(path: Path) -> Iterator[TableFile]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise BadData(path, "no .parquet files", "a file, or a folder of them")
    for file in files:
        try:
            yield LocalTable(file, file.stat().st_mtime_ns)
        except OSError as error:
            raise BadData(file, f"nothing that can be read ({error})", "a whole parquet file") from error


def _remote_tables(location: str, stage: Stage) -> Iterator[TableFile]:
    urls = expand_braces(location, location, lambda plain: find_objects(plain, "*.parquet"))
    with stage("captions of tables", len(urls)) as advance:
        for url in urls:
            yield RemoteTable(url, ranged_status(url))
            advance(1)


def parquet_records(file: TableFile) -> Iterator[ImageRecord]:
    """One record per row. Raises BadData, StorageUnreachable."""
    with as_data(file):
        yield from _records(file)


def _records(file: TableFile) -> Iterator[ImageRecord]:
    arrow = _parquet()
    try:
        table = arrow.ParquetFile(file.open())
        # The plainest name counts where there are several, such as image beside file_name.
        roles = ("image", "caption", "captions", "split", "language")
        found_columns = {role: columns_of(role, table.schema_arrow.names) for role in roles}
        names = {role: columns[0] for role, columns in found_columns.items() if columns}
        text = "captions" if "captions" in names else "caption"
        if "image" not in names or text not in names:
            found = f"the columns {', '.join(table.schema_arrow.names)}"
            raise BadData(file, found, "image, and caption or captions")
        kind = str(table.schema_arrow.field(names["image"]).type)
        as_paths = kind in ("string", "large_string")
        if not (as_paths or kind.startswith(("binary", "large_binary", "struct<"))):
            raise BadData(file, f"{names['image']} of the type {kind}", "bytes, paths, or a struct of bytes and path")
        wanted = {key: names[key] for key in (text, "split", "language") if key in names}
        if as_paths:
            wanted["image"] = names["image"]
            if not isinstance(file, LocalTable):
                raise BadData(file, f"{names['image']} of the type {kind}", "photos in the table, where it is a URL")
        finder = PhotoFinder(Path(file.path.parent))
        for group in range(table.num_row_groups):
            rows = table.read_row_group(group, columns=list(wanted.values())).to_pylist()
            for number, row in enumerate(rows):
                name = f"{file.path.stem}-{group:04d}-{number:06d}"
                cells = {key: row[column] for key, column in wanted.items()}
                if not as_paths:
                    photo = ParquetImage(file, group, number, names["image"])
                    yield _record(file, name, photo, cells.pop(text), cells)
                elif cells["image"]:
                    yield _record(
                        file, cells["image"], _find(finder, Path(file.path), cells["image"]), cells.pop(text), cells
                    )
                else:
                    raise BadData(file, f"no image in {name}", "a path")
    except (OSError, _error()) as error:
        raise BadData(file, f"nothing that can be read ({error})", "a whole parquet file") from error


def _find(finder: PhotoFinder, file: Path, name: str) -> Path:
    """Where the photo should be, if there is none. Raises BadData for a name of several photos."""
    try:
        return finder.find(file.parent, name) or file.parent / name
    except AmbiguousName as error:
        raise BadData(file, f"{name!r}, which may be {error}", "the path of one photo") from error


def _record(
    file: TableFile, name: str, photo: Path | ParquetImage, captions: object, cells: dict[str, Any]
) -> ImageRecord:
    items: list[Any] = captions if isinstance(captions, list) else [captions]
    if not items or not all(isinstance(item, str) and item.strip() for item in items):
        raise BadData(file, f"the captions {captions!r} in {name}", "text")
    split, language = cells.get("split"), cells.get("language")
    if split is not None and str(split).lower() not in SPLITS:
        raise BadData(file, f"the split {split!r} in {name}", f"one of: {', '.join(SPLITS)}")
    if not (language is None or isinstance(language, str)):
        raise BadData(file, f"the language {language!r} in {name}", "text such as en")
    texts = tuple(collapse_whitespace(item) for item in items)
    return ImageRecord(
        name, photo, texts, split_from_file_name(file.path) if split is None else SPLITS[split.lower()], language
    )


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("pyarrow", "data") from error
    return pyarrow.parquet


def _error() -> type[Exception]:
    _parquet()
    import pyarrow

    error: type[Exception] = pyarrow.ArrowException
    return error
