"""`csv:FILE[,IMAGES]` and `jsonl:FILE`: one row per caption, or one JSON object per image.

    image      path of the image, relative to the folder of FILE, or absolute
               in CSV also relative to IMAGES, or to a folder such as Images or flickr30k_images beside FILE
    caption    one caption; rows of the same image are grouped; also caption_2, caption_3 ... or caption1, caption2 ...
    captions   a list of captions instead, in CSV as JSON or as Python writes it
    split      optional: train, dev (val, valid, validation) or test; without it, a hash of the name decides (`rows`)
    language   optional: en, ar ...; without the column, all captions are in the one language asked for

`columns` has the other names of these columns; further ones are ignored. `delimited` has the format, `photo_finder` how
names are matched to files. The tables of Flickr8k (`captions.txt`) and Flickr30k (`results.csv`) on Kaggle are such
files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from showtell.columns import captions_in_cell, columns_of, numbered_captions
from showtell.data.delimited import json_objects, table_cells
from showtell.data.files import expand_path, resolve_folder
from showtell.data.omissions import BLANK_ROW, NO_CAPTION, Omissions
from showtell.data.photo_finder import AmbiguousName, PhotoFinder
from showtell.data.rows import SPLITS, Row, relative_name, samples_from_rows
from showtell.data.text_files import collapse_whitespace, read_text
from showtell.errors import BadData
from showtell.image_formats import has_image_suffix
from showtell.records import Sample

IMAGE_FOLDERS: Final = (
    *("images", "flickr30k_images", "flickr30k-images", "flicker8k_dataset", "flickr8k_dataset"),
    *("photos", "pictures", "imgs", "img"),
)
"""Folders beside a table that hold its images; case does not count."""


def read_csv(location: str, languages: Sequence[str], omissions: Omissions | None = None) -> list[Sample]:
    """Raises BadData with file and line for what cannot be read, and for images that do not exist."""
    name, _, images = location.rpartition(",")
    if name and not expand_path(location).is_file() and expand_path(name).is_file():
        path, folder = expand_path(name).absolute(), resolve_folder(images).absolute()
    else:
        path, folder = expand_path(location).absolute(), None
    rows = list(csv_rows(path, omissions))
    image_folder = folder or _image_folder(path, rows)
    # Photos elsewhere are named from IMAGES on: a whole path would hash into another split on another machine.
    elsewhere = folder if folder is not None and not folder.is_relative_to(path.parent) else None
    samples = samples_from_rows(rows, languages, path, elsewhere, omissions, image_folder)
    return _with_unnamed(samples, path, elsewhere or path.parent, omissions)


def read_jsonl(location: str, languages: Sequence[str], omissions: Omissions | None = None) -> list[Sample]:
    """Raises BadData with file and line for what cannot be read, and for images that do not exist."""
    path = expand_path(location).absolute()
    samples = samples_from_rows(jsonl_rows(path, omissions), languages, path, omissions=omissions)
    return _with_unnamed(samples, path, path.parent, omissions)


def csv_rows(path: Path, omissions: Omissions | None = None) -> Iterator[Row]:
    """Raises BadData for a missing column, a row of another length, a broken quotation, and as `_row` and
    `_captioned`."""
    return _captioned(_all_csv_rows(path), path, omissions)


def jsonl_rows(path: Path, omissions: Omissions | None = None) -> Iterator[Row]:
    """A value null is as good as no value. Raises BadData for what is no JSON object, for missing keys, and as `_row`
    and `_captioned`."""
    return _captioned(_all_jsonl_rows(path), path, omissions)


def _captioned(rows: Iterable[Row], path: Path, omissions: Omissions | None) -> Iterator[Row]:
    """The rows with captions; others, such as those of photos that `showtell caption` could not read, go to
    `omissions`. Raises BadData for a table in which no row has any."""
    blank, is_blank = 0, True
    for row in rows:
        if row.captions:
            is_blank = False
            yield row
        else:
            blank = blank or row.line
            if omissions is not None:
                omissions.add(BLANK_ROW, f"{path.name}, line {row.line}", f"no caption of {row.image}")
    if blank and is_blank:
        raise BadData(path, "an empty caption", "text", blank)


def _all_csv_rows(path: Path) -> Iterator[Row]:
    for line, cells in table_cells(path, read_text(path), _csv_columns):
        texts = [cells[column] for column in ("caption", "captions") if column in cells]
        numbered = [cells[column] for column in numbered_captions(cells)]
        captions = [caption for cell in texts or numbered[:1] for caption in captions_in_cell(cell)]
        rest: dict[str, Any] = {column: cells[column] for column in ("image", "split", "language") if column in cells}
        # Photos may have fewer captions than the table has columns for them.
        others = [caption for caption in numbered[0 if texts else 1 :] if caption]
        yield _row(path, line, {**rest, "captions": [caption for caption in (*captions, *others) if caption.strip()]})


def _all_jsonl_rows(path: Path) -> Iterator[Row]:
    for line, value in json_objects(path, read_text(path)):
        names = {role: columns_of(role, list(value)) for role in ("image", "caption", "captions", "split", "language")}
        # Of several names for the image the plainest counts.
        if not names["image"] or len(names["caption"]) > 1 or bool(names["caption"]) == bool(names["captions"]):
            raise BadData(path, _quoted_names("key", value), "image, and either caption or captions", line)
        cells = {role: value[found[0]] for role, found in names.items() if found and value[found[0]] is not None}
        captions = cells.get("captions", [cells.get("caption")])
        if isinstance(captions, list):
            captions = [text for text in captions if text is not None and str(text).strip()]
        yield _row(path, line, {**cells, "captions": captions})


def _image_folder(path: Path, rows: Sequence[Row]) -> Path:
    """The folder of the first image: the table's, or one of those that distributions have beside the table.

    When the first image is in none of them, the first of the latter that exists.
    """
    try:
        children = sorted(child for child in path.parent.iterdir() if child.is_dir())
    except OSError:
        children = []
    known = sorted(
        (child for child in children if child.name.casefold() in IMAGE_FOLDERS),
        key=lambda child: IMAGE_FOLDERS.index(child.name.casefold()),
    )
    folders = [path.parent, *known]
    existing = (folder for folder in folders if rows and (folder / rows[0].image.replace("\\", "/")).is_file())
    if folder := next(existing, None):
        return folder
    try:
        if rows and PhotoFinder(path.parent).find(path.parent, rows[0].image):
            return path.parent
    except AmbiguousName:
        return path.parent
    return next(iter(known), path.parent)


def _with_unnamed(samples: list[Sample], path: Path, root: Path, omissions: Omissions | None) -> list[Sample]:
    """The samples; the photos beside those of the table, in the same folders, that have no row become omissions."""
    if omissions is not None:
        photos = [sample.image for sample in samples if isinstance(sample.image, Path)]
        named = set(photos)
        for folder in dict.fromkeys(photo.parent for photo in photos):
            for file in sorted(folder.iterdir()):
                if has_image_suffix(file) and file not in named and not file.name.startswith("."):
                    omissions.add(NO_CAPTION, relative_name(root, file), f"no caption in {path.name}")
    return samples


def _csv_columns(path: Path, header: list[str], line: int) -> list[str]:
    numbered = numbered_captions(header)
    found = {role: columns_of(role, header) for role in ("image", "caption", "captions", "split", "language")}
    texts = found["caption"] + found["captions"]
    if len(found["image"]) != 1 or len(texts) > 1 or not (texts or numbered) or max(map(len, found.values())) > 1:
        raise BadData(path, _quoted_names("column", header), "one column image and one column caption", line)
    roles = {names[0]: role for role, names in found.items() if names}
    return [roles.get(name, name) for name in header]


def _row(path: Path, line: int, cells: Mapping[str, Any]) -> Row:
    """Raises BadData for cells that are empty or no text, and for an unknown split."""
    captions = cells["captions"]
    if not isinstance(captions, list):
        raise BadData(path, f"captions {captions!r}", "a list of captions", line)
    split = _text(path, line, cells, "split")
    if split is not None and split.lower() not in SPLITS:
        raise BadData(path, f"the split {split!r}", f"one of: {', '.join(SPLITS)}", line)
    return Row(
        file=path,
        line=line,
        image=_nonempty_text(path, line, "image", cells.get("image")),
        captions=tuple(_nonempty_text(path, line, "caption", caption) for caption in captions),
        split=None if split is None else SPLITS[split.lower()],
        language=_text(path, line, cells, "language"),
    )


def _text(path: Path, line: int, cells: Mapping[str, Any], column: str) -> str | None:
    return _nonempty_text(path, line, column, cells[column]) if column in cells else None


def _nonempty_text(path: Path, line: int, column: str, cell: object) -> str:
    if not isinstance(cell, str):
        shown = json.dumps(cell, ensure_ascii=False)  # of a JSON file, the only one with other values
        raise BadData(path, f"{column} {shown}", "text", line)
    text = collapse_whitespace(cell) if column == "caption" else cell.strip()
    if not text:
        raise BadData(path, f"an empty {column}", "text", line)
    return text


def _quoted_names(kind: str, names: Iterable[str]) -> str:
    return f"the {kind}s {', '.join(map(repr, names))}" if names else f"no {kind}s"
