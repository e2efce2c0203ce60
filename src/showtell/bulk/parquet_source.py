"""Photos in a Parquet file: a column of bytes, of structs with `bytes` or `path` (Hugging Face's), or of paths.

The file is read in batches of a few rows, and only that column. The key of a photo within the file is `FILE#ROW`, rows
counted from 0; that of a path is the path.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from showtell.bulk.table_source import choose_column, named_input
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, BadImage, MissingExtra

ROWS: Final = 16
"""Per batch: photos of several MB are in memory together."""


def read_parquet(path: Path, column: str | None) -> Iterator[ImageInput]:
    """Raises BadImage where no more can be read, BadConfig for a column without photos, MissingExtra."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("pyarrow", "data") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            name = choose_column(path, file.schema_arrow.names, column)
            kind = str(file.schema_arrow.field(name).type)
            if not kind.startswith(("string", "large_string", "binary", "large_binary", "struct<")):
                raise BadConfig(f"{path}: found {name} of the type {kind}; expected bytes, paths, or structs of these")
            row = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=[name]):
                for value in batch.column(0):
                    yield _image(path, row, value.as_py())
                    row += 1
    except pyarrow.ArrowException as error:
        detail = " ".join(str(error).split())
        raise BadImage("truncated", f"no whole Parquet file ({detail}); make or download it again") from error


def _image(path: Path, row: int, value: Any) -> ImageInput:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and value:
        return named_input(path, value)
    if not value:
        return ImageInput(f"{path}#{row}", BadImage("missing", "no photo in this row"))
    return ImageInput(f"{path}#{row}", read=lambda: value)
