"""`parquet:FILE_OR_FOLDER`: tables with photos in them, as Hugging Face's datasets keep them, or beside them.

    image      the photo: bytes, a struct with `bytes` or `path`, or a path relative to the file's folder
    caption    one caption, or a list of them (also: captions, text, comment)
    split, language    optional, as in other tables

Photos within a file are compressed by groups of rows, so a photo is read by reading its group; the latest group is
kept, which makes reading in order, as features are made, as fast as it can be, and any other order slow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from showtell.data.files import path_of, tidy
from showtell.data.gather import SPLITS
from showtell.data.packed import Entry, pack_samples
from showtell.data.tables import COLUMNS
from showtell.errors import BadData, MissingExtra
from showtell.records import Sample


@dataclass(frozen=True)
class ParquetPhoto:
    """The bytes of a photo in a row of a file. Called, it reads them."""

    file: Path
    group: int
    row: int
    """Within the group."""
    column: str
    modified: int

    def __call__(self) -> bytes:
        value = _images(self.file, self.group, self.column, self.modified)[self.row].as_py()
        if isinstance(value, dict) and value.get("bytes"):
            value = value["bytes"]
        if isinstance(value, bytes):
            return value
        path = value["path"] if isinstance(value, dict) else value
        return (self.file.parent / str(path)).read_bytes()


@lru_cache(1)
def _images(file: Path, group: int, column: str, modified: int) -> Any:
    """The images of one group; `modified` is there for the cache."""
    return _parquet().ParquetFile(file).read_row_group(group, columns=[column]).column(column)


def read_parquet(where: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadData for missing columns and broken files, MissingExtra without pyarrow."""
    path = path_of(where)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise BadData(path, "no .parquet files", "a file, or a folder of them")
    return pack_samples((entry for file in files for entry in parquet_entries(file)), languages, path)


def parquet_entries(file: Path) -> Iterator[Entry]:
    """One entry per row. Raises BadData."""
    arrow = _parquet()
    try:
        modified = file.stat().st_mtime_ns
        table = arrow.ParquetFile(file)
        names = {COLUMNS[name]: name for name in table.schema_arrow.names if name in COLUMNS}
        text = "captions" if "captions" in names else "caption"
        if "image" not in names or text not in names:
            found = f"the columns {', '.join(table.schema_arrow.names)}"
            raise BadData(file, found, "image, and caption or captions")
        wanted = {key: names[key] for key in (text, "split", "language") if key in names}
        for group in range(table.num_row_groups):
            rows = table.read_row_group(group, columns=list(wanted.values())).to_pylist()
            for number, row in enumerate(rows):
                photo = ParquetPhoto(file, group, number, names["image"], modified)
                cells = {key: row[name] for key, name in wanted.items()}
                yield _entry(file, f"{file.stem}-{group:04d}-{number:06d}", photo, cells.pop(text), cells)
    except (OSError, _error()) as error:
        raise BadData(file, f"nothing that can be read ({error})", "a whole parquet file") from error


def _entry(file: Path, name: str, photo: ParquetPhoto, captions: object, cells: dict[str, Any]) -> Entry:
    several: list[Any] = captions if isinstance(captions, list) else [captions]
    if not several or not all(isinstance(each, str) and each.strip() for each in several):
        raise BadData(file, f"the captions {captions!r} in {name}", "text")
    split = cells.get("split")
    if split is not None and split.lower() not in SPLITS:
        raise BadData(file, f"the split {split!r} in {name}", f"one of: {', '.join(SPLITS)}")
    texts = tuple(tidy(each) for each in several)
    return Entry(name, photo, texts, None if split is None else SPLITS[split.lower()], cells.get("language"))


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("pyarrow", "data") from error
    return pyarrow.parquet


def _error() -> type[Exception]:
    import pyarrow

    error: type[Exception] = pyarrow.ArrowException
    return error
