"""Photos in a Parquet file: a column of bytes, of structs with `bytes` or `path` (Hugging Face's), or of paths.

The file is read in batches of a few rows, and only that column. The key of a photo within the file is `FILE#ROW`, rows
counted from 0; that of a path is the path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from showtell.bulk.container_file import ContainerFile, InMemory
from showtell.bulk.table_source import choose_column
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, BadImage, MissingExtra

ROWS: Final = 16
"""Per batch: photos of several MB are in memory together."""
_BUFFER: Final = 1024 * 1024
"""Bytes that are read of a column at a time; without it, all that a row group has of it, which may be gigabytes."""


def read_parquet(file: ContainerFile, column: str | None) -> Iterator[ImageInput]:
    """Raises BadImage where no more can be read, BadConfig for a column without photos, MissingExtra."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("pyarrow", "data") from error
    try:
        with file.open() as raw, pyarrow.parquet.ParquetFile(raw, buffer_size=_BUFFER) as table:
            name = choose_column(file, table.schema_arrow.names, column)
            kind = str(table.schema_arrow.field(name).type)
            if not kind.startswith(("string", "large_string", "binary", "large_binary", "struct<")):
                raise BadConfig(
                    f"{file.name}: found {name} of the type {kind}; expected bytes, paths, or structs of these"
                )
            row = 0
            for batch in table.iter_batches(batch_size=ROWS, columns=[name]):
                for value in batch.column(0):
                    yield _image(file, row, value.as_py())
                    row += 1
    except pyarrow.ArrowException as error:
        detail = " ".join(str(error).split())
        raise BadImage("truncated", f"no whole Parquet file ({detail}); make or download it again") from error


def _image(file: ContainerFile, row: int, value: Any) -> ImageInput:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and value:
        return file.named(value)
    if not value:
        return ImageInput(f"{file.name}#{row}", BadImage("missing", "no photo in this row"))
    return ImageInput(f"{file.name}#{row}", read=InMemory(value))
