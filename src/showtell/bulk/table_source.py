"""Photos that a table names, in CSV, TSV or JSON lines: a path below the table's folder, an absolute one, or a URL.

A row is read when it is its turn. The key of an input is the cell as it is, so that captions can be joined to the
table.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from showtell.columns import columns_of
from showtell.core.sources import ImageInput, is_url
from showtell.errors import BadConfig, BadImage
from showtell.image_formats import has_image_suffix

_DELIMITERS: Final = ",;\t|"
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_table(path: Path, column: str | None) -> Iterator[ImageInput]:
    """`column`: of the photos; None: the one that is called image, file_name and so on (`columns`).

    Raises BadImage where no more can be read, BadConfig for a column that is not there.
    """
    with path.open("rb") as raw:
        head = raw.read(4)
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
    cells = _json_cells if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_cells
    try:
        with path.open(encoding=encoding, newline="") as lines:
            for line, cell in cells(path, lines, column):
                if cell:
                    yield named_input(path, cell)
                else:
                    yield ImageInput(f"{path}#{line}", BadImage("missing", "no photo is named in this row"))
    except (UnicodeError, csv.Error) as error:
        detail = " ".join(str(error).split())
        raise BadImage("unreadable", f"no table in UTF-8 with a header ({detail}); save it as UTF-8") from error


def choose_column(path: Path, names: Sequence[str], column: str | None) -> str:
    """Raises BadConfig, with the names that are there."""
    if column is not None and column not in names:
        raise BadConfig(f"--column {column}: {path} has the columns {', '.join(names)}")
    found = [column] if column is not None else columns_of("image", names)
    if not found:
        raise BadConfig(f"{path}: found the columns {', '.join(names)}; give the one of the photos with --column NAME")
    return found[0]


def _csv_cells(path: Path, lines: Iterable[str], column: str | None) -> Iterator[tuple[int, str]]:
    source = iter(lines)
    first = next(source, "")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(_DELIMITERS, key=first.count)
    reader = csv.reader(itertools.chain([first], source), delimiter=delimiter, strict=True)
    header = [cell.strip() for cell in next(reader, [])]
    if not any(header):
        raise BadImage("empty", "a table without a header; expected a column image")
    if column is None and has_image_suffix(header[0]):
        raise BadConfig(f"{path}: found no header, but {header[0]}; expected a first line with column names")
    place = header.index(choose_column(path, header, column))
    for cells in reader:
        if cells:
            yield reader.line_num, cells[place].strip() if place < len(cells) else ""


def _json_cells(path: Path, lines: Iterable[str], column: str | None) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadImage("unreadable", f"line {number} is no JSON object ({error})") from error
        if not isinstance(value, dict):
            raise BadImage("unreadable", f"line {number} is no JSON object, but {type(value).__name__}")
        cell = value.get(choose_column(path, list(value), column))
        yield number, cell if isinstance(cell, str) else ""


def named_input(path: Path, cell: str) -> ImageInput:
    if is_url(cell):
        return ImageInput(cell)
    file = os.path.join(path.parent, cell)  # noqa: PTH118 (a cell may be any text)
    return ImageInput(cell, file=file if file != cell else None)
