"""Tables of captions as text, for `csv:` and `jsonl:` and for captions to score.

A CSV file has a header; cells are separated by commas, semicolons, tabs or bars, whichever the header shows, and quoted
where they hold the separator. Excel's first line `sep=;` is understood. A table of two columns needs no header if the
first is the name of an image file. Text encodings: see `text_files`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

from showtell.columns import is_known
from showtell.data.text_files import numbered_lines
from showtell.errors import BadData
from showtell.image_formats import has_image_suffix

DELIMITERS: Final = (",", ";", "\t", "|")
FLICKR30K_HEADER: Final = "image_name| comment_number| comment"
"""The header of Flickr30k's results.csv, whose captions are not quoted."""
_MISSING_BAR: Final = re.compile(r"(\d+)\s+(\S.*)")
"""A number and a caption without the bar between them: one line of Flickr30k's results.csv."""
_SEP_LINE: Final = re.compile(r'\s*"?sep=([,;|\t])"?[ \t]*\r?(?:\n|$)', re.IGNORECASE)


def table_cells(
    path: Path, text: str, parse_header: Callable[[Path, list[str], int], list[str]]
) -> Iterator[tuple[int, dict[str, str]]]:
    """The line of each row and its cells by column. `parse_header(path, header, line)` gives the names of the columns.

    Raises BadData for a row of another length, a broken quotation, and a file without a header.
    """
    sep_line = _SEP_LINE.match(text)
    lines_before, body = (text[: sep_line.end()].count("\n"), text[sep_line.end() :]) if sep_line else (0, text)
    delimiter = sep_line[1] if sep_line else _delimiter(text)
    quoting = _quoting(body, delimiter)
    lines = io.StringIO(body, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True, skipinitialspace=True)
    columns: list[str] = []
    while True:
        # A quoted cell may span lines; an error in it is best looked for where its row begins.
        line = lines_before + reader.line_num + 1
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
            has_header = not (len(cells) == 2 and has_image_suffix(cells[0]))
            columns = parse_header(path, cells if has_header else ["image", "caption"], line)
            if has_header:
                continue
        yield line, _cells_by_column(path, line, cells, columns, delimiter)
    if not columns:
        raise BadData(path, "no rows", "a header with image and caption, then rows")


def _cells_by_column(path: Path, line: int, cells: list[str], columns: list[str], delimiter: str) -> dict[str, str]:
    if columns[1:] == ["comment_number", "caption"] and len(cells) == 2 and (pair := _MISSING_BAR.fullmatch(cells[1])):
        return {"image": cells[0], "caption": pair[2]}
    while len(cells) > len(columns) and not cells[-1]:  # spreadsheets write empty cells after the last
        cells.pop()
    if len(cells) != len(columns):
        expected = f"{len(columns)} ({', '.join(columns)}); quote captions that hold {delimiter!r}"
        raise BadData(path, f"{len(cells)} columns", expected, line)
    return dict(zip(columns, cells, strict=True))


def json_objects(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """One object per line, with its line. Raises BadData for a line that is none."""
    if text.lstrip().startswith(("[\n", "[\r", "[ ", "[{")):
        raise BadData(path, "one JSON array", "one JSON object per line, as `jq -c .[] FILE` makes of it")
    for line, content in numbered_lines(text):
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadData(path, f"no valid JSON ({error})", "one JSON object", line) from error
        if not isinstance(value, dict):
            raise BadData(path, f"a JSON {type(value).__name__}", "one JSON object", line)
        yield line, value


def _quoting(text: str, delimiter: str) -> Literal[0, 3]:
    """QUOTE_NONE where quotation marks belong to the captions: in Flickr30k's table, and in tables separated by tabs
    that are none with quoted cells, but are one without."""
    if text.lstrip().startswith(FLICKR30K_HEADER):
        return csv.QUOTE_NONE
    if delimiter == "\t" and '"' in text:
        lines = [line for line in text.split("\n") if line.strip()]
        try:
            widths = {len(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True) if row}
        except csv.Error:
            widths = set()
        if len(widths) != 1 and len({line.count("\t") for line in lines}) == 1:
            return csv.QUOTE_NONE
    return csv.QUOTE_MINIMAL


def _delimiter(text: str) -> str:
    """The separator that fits the header; csv.Sniffer guesses from the captions, and often badly."""
    header = text.lstrip("\r\n \ufeff").partition("\n")[0].rstrip("\r")

    def fit(delimiter: str) -> tuple[int, int, int]:
        names = [name.strip(' \r"') for name in header.split(delimiter)]
        # Without a header: a name of an image and one caption.
        has_name = len(names) > 1 and has_image_suffix(names[0])
        return sum(map(is_known, names)), has_name, -len(names) if has_name else len(names)

    return max(DELIMITERS, key=fit)
