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

from showtell.data.files import resolve_folder
from showtell.data.omissions import Omissions
from showtell.data.rows import Row, relative_name, samples_from_rows
from showtell.data.text_files import collapse_whitespace, read_text
from showtell.errors import BadData
from showtell.records import Sample

YEARS: Final = ("2014", "2017")
SPLITS: Final = {"train": "train", "val": "dev"}


def read_coco(location: str, languages: Sequence[str], omissions: Omissions | None = None) -> list[Sample]:
    """Raises BadData for missing files and folders, and for files that make no sense or do not fit together."""
    text, _, year = (
        location.rpartition(",") if location.endswith(tuple(f",{year}" for year in YEARS)) else (location, "", "")
    )
    root = resolve_folder(text).absolute()
    years = [
        candidate for candidate in YEARS if any(_captions_file(root, split, candidate).exists() for split in SPLITS)
    ]
    if year and year not in years:
        raise BadData(root, f"no captions of {year}", f"annotations/captions_train{year}.json")
    if not years:
        raise BadData(root, "no captions", "annotations/captions_train2014.json, or of 2017")
    if not year and len(years) > 1:
        raise BadData(root, f"captions of {' and '.join(years)}", f"one of them, as in coco:{root},{years[0]}")
    chosen = year or years[0]
    files = {split: _captions_file(root, split, chosen) for split in SPLITS}
    omissions = omissions or Omissions()
    existing = [(split, file) for split, file in files.items() if file.exists()]
    rows = (row for split, file in existing for row in coco_rows(file, root, split, chosen, omissions))
    return samples_from_rows(rows, languages, root, omissions=omissions, images_in=root)


def coco_rows(file: Path, root: Path, split: str, year: str, omissions: Omissions) -> Iterator[Row]:
    """One row per image, captions in the order of the file. Raises BadData when the file is not of COCO's form."""
    folder = _image_folder(root, f"{split}{year}")
    names, captions = parse_coco(file, read_json(file))
    for image_id, name in names.items():
        if image_id not in captions:
            omissions.skip(
                "photo without captions", 1, "photos without captions"
            )  # a handful, in the files as published
        else:
            if not all(captions[image_id]):
                raise BadData(file, f"an empty caption of {name}", "words")
            yield Row(file, 1, relative_name(root, folder / name), tuple(captions[image_id]), SPLITS[split])


def read_json(file: Path) -> Any:
    """Raises BadData for what is no JSON, such as a download that stopped half way."""
    try:
        return json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise BadData(file, f"no valid JSON ({error})", "the whole file; download it again") from error


def parse_coco(file: Path, document: Any, are_files_named: bool = True) -> tuple[dict[str, str], dict[str, list[str]]]:
    """File names and captions, perhaps blank ones, by the id of the image. Where images need no file name, the id
    stands for it.

    Raises BadData for another form, two images of one id, and a caption of an image that is not there.
    """
    location = "the document"
    try:
        names: dict[str, str] = {}
        for index, image in enumerate(document["images"]):
            location = f"images, index {index}"
            image_id = _image_id(image["id"])
            name = str(image["file_name"] if are_files_named else image.get("file_name", image_id))
            if names.setdefault(image_id, name) != name:
                raise BadData(file, f"the id {image_id} of {names[image_id]!r} and {name!r}", "an id of one image")
        captions: dict[str, list[str]] = {}
        location = "the document"
        for index, annotation in enumerate(document["annotations"]):
            location = f"annotations, index {index}"
            image_id, caption = _image_id(annotation["image_id"]), collapse_whitespace(annotation["caption"])
            if image_id not in names:
                raise BadData(file, f"a caption of image {image_id}, which it does not list", "one of its images")
            captions.setdefault(image_id, []).append(caption)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        expected = "images with id and file_name, annotations with image_id and caption"
        raise BadData(file, f"another form ({type(error).__name__}: {error}) in {location}", expected) from error
    return names, captions


def _image_id(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"id {value!r}")
    return str(value)


def _captions_file(root: Path, split: str, year: str) -> Path:
    return root / "annotations" / f"captions_{split}{year}.json"


def _image_folder(root: Path, name: str) -> Path:
    for folder in (root / name, root / "images" / name):
        if folder.is_dir():
            return folder
    raise BadData(root, f"no folder {name}", f"the photos in {name}/ or images/{name}/")
