"""`coco:DIR[,YEAR]`: COCO captions as distributed (Chen et al. 2015), of 2014 or 2017.

    DIR/annotations/captions_train2014.json, captions_val2014.json      or 2017
    DIR/train2014/, DIR/val2014/                                        or below DIR/images/

`val` is our dev. The test photos have no published captions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from showtell.data.files import folder_of, read_text, tidy
from showtell.data.gather import Row, gather
from showtell.errors import BadData
from showtell.records import Sample

YEARS: Final = ("2014", "2017")
PARTS: Final = {"train": "train", "val": "dev"}


def read_coco(where: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadData for missing files and folders, and for files that make no sense or do not fit together."""
    text, _, year = where.rpartition(",") if where.endswith(tuple(f",{year}" for year in YEARS)) else (where, "", "")
    root = folder_of(text).absolute()  # the paths in a Row are relative to its file
    there = [each for each in YEARS if any(_captions(root, part, each).exists() for part in PARTS)]
    if year and year not in there:
        raise BadData(root, f"no captions of {year}", f"annotations/captions_train{year}.json")
    if not there:
        raise BadData(root, "no captions", "annotations/captions_train2014.json, or of 2017")
    if not year and len(there) > 1:
        raise BadData(root, f"captions of {' and '.join(there)}", f"one of them, as in coco:{root},{there[0]}")
    chosen = year or there[0]
    files = {part: _captions(root, part, chosen) for part in PARTS}
    rows = (row for part, file in files.items() if file.exists() for row in coco_rows(file, root, part, chosen))
    return gather(rows, languages, root)


def coco_rows(file: Path, root: Path, part: str, year: str) -> Iterator[Row]:
    """One row per image, captions in the order of the file. Raises BadData when the file is not of COCO's form."""
    folder = _photos(root, f"{part}{year}")
    names, captions = parse_coco(file, read_json(file))
    for identity, name in names.items():
        if identity in captions:  # a handful of photos have none
            if not all(captions[identity]):
                raise BadData(file, f"an empty caption of {name}", "words")
            yield Row(file, 1, str(folder / name), tuple(captions[identity]), PARTS[part])


def read_json(file: Path) -> Any:
    """Raises BadData for what is no JSON, such as a download that stopped half way."""
    try:
        return json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise BadData(file, f"no valid JSON ({error})", "the whole file; download it again") from error


def parse_coco(file: Path, whole: Any) -> tuple[dict[str, str], dict[str, list[str]]]:
    """File names and captions, perhaps blank ones, by the id of the image.

    Raises BadData for another form, two images of one id, and a caption of an image that is not there.
    """
    place = "the whole"
    try:
        names: dict[str, str] = {}
        for index, image in enumerate(whole["images"]):
            place = f"images, index {index}"
            identity, name = _identity(image["id"]), str(image["file_name"])
            if names.setdefault(identity, name) != name:
                raise BadData(file, f"the id {identity} of {names[identity]!r} and {name!r}", "an id of one image")
        captions: dict[str, list[str]] = {}
        place = "the whole"
        for index, each in enumerate(whole["annotations"]):
            place = f"annotations, index {index}"
            identity, caption = _identity(each["image_id"]), tidy(each["caption"])
            if identity not in names:
                raise BadData(file, f"a caption of image {identity}, which is none of its images", "one of its images")
            captions.setdefault(identity, []).append(caption)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        expected = "images with id and file_name, annotations with image_id and caption"
        raise BadData(file, f"another form ({type(error).__name__}: {error}) in {place}", expected) from error
    return names, captions


def _identity(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"id {value!r}")
    return str(value)


def _captions(root: Path, part: str, year: str) -> Path:
    return root / "annotations" / f"captions_{part}{year}.json"


def _photos(root: Path, name: str) -> Path:
    for folder in (root / name, root / "images" / name):
        if folder.is_dir():
            return folder
    raise BadData(root, f"no folder {name}", f"the photos in {name}/ or images/{name}/")
