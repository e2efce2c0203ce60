"""`csv:FILE[,IMAGES]` and `jsonl:FILE`: one row per caption, or one JSON object per image.

    image      path of the image, relative to the folder of FILE, or absolute (also: file_name, image_name)
               in CSV also relative to IMAGES, or to a folder Images, images or flickr30k_images beside FILE
    caption    one caption; rows of the same image are grouped (also: text, comment)
    captions   in JSON, a list of captions instead
    split      optional: train, dev (val, validation) or test; without the column, a hash of the name decides (`rows`)
    language   optional: en, ar ...; without the column, all captions are in the one language asked for

A CSV file has a header and its cells are separated by commas, tabs or bars, whichever the header shows. Other columns
are ignored. Files are UTF-8. The tables of Flickr8k (`captions.txt`) and Flickr30k (`results.csv`) on Kaggle are
such files.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from showtell.data.files import collapse_whitespace, expand_path, numbered_lines, read_text, resolve_folder
from showtell.data.rows import SPLITS, Row, samples_from_rows
from showtell.errors import BadData
from showtell.records import Sample

DELIMITERS: Final = (",", "\t", "|")
# Hugging Face's imagefolder says file_name and text, Flickr30k's results.csv image_name and comment.
COLUMNS: Final = {
    "image": "image",
    "file_name": "image",
    "image_name": "image",
    "caption": "caption",
    "text": "caption",
    "comment": "caption",
    "captions": "captions",
    "split": "split",
    "language": "language",
}
CSV_COLUMNS: Final = ("image", "caption", "split", "language")
IMAGE_FOLDERS: Final = ("Images", "images", "flickr30k_images")
FLICKR30K_HEADER: Final = "image_name| comment_number| comment"
"""The header of Flickr30k's results.csv, whose captions are not quoted."""
MISSING_BAR: Final = re.compile(r"(\d+)\s+(\S.*)")
"""A number and a caption without the bar between them: one line of Flickr30k's results.csv."""


def read_csv(location: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadData with file and line for what cannot be read, and for images that do not exist."""
    name, _, images = location.rpartition(",")
    if name and expand_path(name).is_file():
        path, folder = expand_path(name).absolute(), resolve_folder(images).absolute()
    else:
        path, folder = expand_path(location).absolute(), None
    rows = list(csv_rows(path))
    image_folder = folder or _image_folder(path, rows)
    if image_folder != path.parent:
        rows = [row._replace(image=str(image_folder / row.image)) for row in rows]
    # Photos elsewhere are named from IMAGES on: a whole path would hash into another split on another machine.
    elsewhere = folder is not None and not folder.is_relative_to(path.parent)
    return samples_from_rows(rows, languages, path, folder if elsewhere else None)


def _image_folder(path: Path, rows: Sequence[Row]) -> Path:
    """The folder of the first image: the table's, or one of those that distributions have beside the table.

    When the first image is in none of them, the first of the latter that exists.
    """
    folders = [path.parent, *(path.parent / name for name in IMAGE_FOLDERS)]
    existing = (folder for folder in folders if rows and (folder / rows[0].image).is_file())
    return next(existing, None) or next((folder for folder in folders[1:] if folder.is_dir()), path.parent)


def read_jsonl(location: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadData with file and line for what cannot be read, and for images that do not exist."""
    path = expand_path(location)
    return samples_from_rows(jsonl_rows(path), languages, path)


def csv_rows(path: Path) -> Iterator[Row]:
    """Raises BadData for a missing column, a row of another length, a broken quotation, and as `_row`."""
    for line, cells in table_cells(path, read_text(path), _csv_columns):
        yield _row(path, line, {column: cells[column] for column in CSV_COLUMNS if column in cells})


def table_cells(
    path: Path, text: str, parse_header: Callable[[Path, list[str], int], list[str]]
) -> Iterator[tuple[int, dict[str, str]]]:
    """The line of each row and its cells by column. `parse_header(path, header, line)` gives the names of the columns.

    Raises BadData for a row of another length, a broken quotation, and a file without a header.
    """
    quoting: Literal[0, 3] = csv.QUOTE_NONE if text.lstrip().startswith(FLICKR30K_HEADER) else csv.QUOTE_MINIMAL
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=_delimiter(text), quoting=quoting, strict=True, skipinitialspace=True)
    columns: list[str] = []
    while True:
        # A quoted cell may span lines; an error in it is best looked for where its row begins.
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error as error:
            raise BadData(
                path, f"a broken row ({error})", "cells, quoted when they hold quotation marks", line
            ) from error
        if not any(cells):
            continue
        if not columns:
            columns = parse_header(path, cells, line)
        elif (
            columns[1:] == ["comment_number", "caption"]
            and len(cells) == 2
            and (pair := MISSING_BAR.fullmatch(cells[1]))
        ):
            yield line, {"image": cells[0], "caption": pair[2]}
        elif len(cells) != len(columns):
            expected = f"{len(columns)} ({', '.join(columns)})"
            raise BadData(path, f"{len(cells)} columns", expected, line)
        else:
            yield line, dict(zip(columns, cells, strict=True))
    if not columns:
        raise BadData(path, "no rows", "a header with image and caption, then rows")


def jsonl_rows(path: Path) -> Iterator[Row]:
    """Raises BadData for what is no JSON object, for missing keys, and as `_row`."""
    for line, value in json_objects(path, read_text(path)):
        cells = {COLUMNS[key]: cell for key, cell in value.items() if key in COLUMNS}
        if "image" not in cells or ("caption" in cells) == ("captions" in cells):
            raise BadData(path, _quoted_names("key", value), "image, and either caption or captions", line)
        yield _row(path, line, cells)


def json_objects(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """One object per line, with its line. Raises BadData for a line that is none."""
    for line, content in numbered_lines(text):
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadData(path, f"no valid JSON ({error})", "one JSON object", line) from error
        if not isinstance(value, dict):
            raise BadData(path, f"a JSON {type(value).__name__}", "one JSON object", line)
        yield line, value


def _delimiter(text: str) -> str:
    """The separator that fits the header; csv.Sniffer guesses from the captions, and often badly."""
    header = text.lstrip().partition("\n")[0]

    def known_columns(delimiter: str) -> tuple[int, int]:
        names = [name.strip(' \r"').lower() for name in header.split(delimiter)]
        return sum(name in COLUMNS for name in names), len(names)

    return max(DELIMITERS, key=known_columns)


def _csv_columns(path: Path, header: list[str], line: int) -> list[str]:
    columns = [COLUMNS.get(name.lower(), name) for name in header]
    if not {"image", "caption"} <= set(columns) or any(columns.count(column) > 1 for column in CSV_COLUMNS):
        raise BadData(path, _quoted_names("column", header), "one column image and one column caption", line)
    return columns


def _row(path: Path, line: int, cells: dict[str, Any]) -> Row:
    """Raises BadData for cells that are empty or no text, and for an unknown split."""
    captions = cells["captions"] if "captions" in cells else [cells["caption"]]
    if not isinstance(captions, list) or not captions:
        raise BadData(path, f"captions {captions!r}", "a list of captions", line)
    split = _text(path, line, cells, "split")
    if split is not None and split.lower() not in SPLITS:
        raise BadData(path, f"the split {split!r}", f"one of: {', '.join(SPLITS)}", line)
    return Row(
        file=path,
        line=line,
        image=_text(path, line, cells, "image") or "",
        captions=tuple(_nonempty_text(path, line, "caption", caption) for caption in captions),
        split=None if split is None else SPLITS[split.lower()],
        language=_text(path, line, cells, "language"),
    )


def _text(path: Path, line: int, cells: dict[str, Any], column: str) -> str | None:
    return _nonempty_text(path, line, column, cells[column]) if column in cells else None


def _nonempty_text(path: Path, line: int, column: str, cell: object) -> str:
    if not isinstance(cell, str):
        raise BadData(path, f"{column} {cell!r}", "text", line)
    text = collapse_whitespace(cell) if column == "caption" else cell.strip()
    if not text:
        raise BadData(path, f"an empty {column}", "text", line)
    return text


def _quoted_names(kind: str, names: Iterable[str]) -> str:
    return f"the {kind}s {', '.join(map(repr, names))}" if names else f"no {kind}s"
