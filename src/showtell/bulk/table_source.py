"""Photos that a table names, in CSV, TSV or JSON lines: a path below the table's folder, an absolute one, or a URL.

A table in object storage or on a web server names no files of this machine: others may have written it.

A row is read when it is its turn. The key of an input is the cell as it is, so that captions can be joined to the
table.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from showtell.bulk.container_file import ContainerFile, suffix_of
from showtell.columns import columns_of
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, BadImage
from showtell.image_formats import has_image_suffix

_DELIMITERS: Final = ",;\t|"
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_table(file: ContainerFile, column: str | None) -> Iterator[ImageInput]:
    """`column`: of the photos; None: the one that is called image, file_name and so on (`columns`).

    Raises BadImage where no more can be read, BadConfig for a column that is not there.
    """
    cells = _json_cells if suffix_of(file) in (".jsonl", ".ndjson") else _csv_cells
    try:
        with file.open() as raw:
            head = raw.read(4)
            raw.seek(0)
            encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
            lines = io.TextIOWrapper(raw, encoding=encoding, newline="")
            for line, cell in cells(file, lines, column):
                if cell:
                    yield file.named(cell)
                else:
                    yield ImageInput(f"{file.name}#{line}", BadImage("missing", "no photo is named in this row"))
    except (UnicodeError, csv.Error) as error:
        detail = " ".join(str(error).split())
        raise BadImage("unreadable", f"no table in UTF-8 with a header ({detail}); save it as UTF-8") from error


def choose_column(file: ContainerFile, names: Sequence[str], column: str | None) -> str:
    """Raises BadConfig, with the names that are there."""
    if column is not None and column not in names:
        raise BadConfig(f"--column {column}: {file.name} has the columns {', '.join(names)}")
    found = [column] if column is not None else columns_of("image", names)
    if not found:
        raise BadConfig(
            f"{file.name}: found the columns {', '.join(names)}; give the one of the photos with --column NAME"
        )
    return found[0]


def _csv_cells(file: ContainerFile, lines: Iterable[str], column: str | None) -> Iterator[tuple[int, str]]:
    source = iter(lines)
    first = next(source, "")
    delimiter = "\t" if suffix_of(file) == ".tsv" else max(_DELIMITERS, key=first.count)
    reader = csv.reader(itertools.chain([first], source), delimiter=delimiter, strict=True)
    header = [cell.strip() for cell in next(reader, [])]
    if not any(header):
        raise BadImage("empty", "a table without a header; expected a column image")
    if column is None and has_image_suffix(header[0]):
        raise BadConfig(f"{file.name}: found no header, but {header[0]}; expected a first line with column names")
    place = header.index(choose_column(file, header, column))
    for cells in reader:
        if cells:
            yield reader.line_num, cells[place].strip() if place < len(cells) else ""


def _json_cells(file: ContainerFile, lines: Iterable[str], column: str | None) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadImage("unreadable", f"line {number} is no JSON object ({error})") from error
        if not isinstance(value, dict):
            raise BadImage("unreadable", f"line {number} is no JSON object, but {type(value).__name__}")
        cell = value.get(choose_column(file, list(value), column))
        yield number, cell if isinstance(cell, str) else ""
