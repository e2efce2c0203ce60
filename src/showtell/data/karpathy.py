"""`karpathy:FILE.json,IMAGES`: the splits of Karpathy & Fei-Fei 2015 for COCO, Flickr8k and Flickr30k.

`dataset_coco.json`, `dataset_flickr8k.json`, `dataset_flickr30k.json`; photos in the folder IMAGES, those of COCO below
it in train2014/ and val2014/. `restval` is training, as everybody has it, and `val` our dev.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from showtell.data.coco import read_json
from showtell.data.files import folder_of, path_of, tidy
from showtell.data.gather import Row, gather
from showtell.errors import BadData
from showtell.records import Sample

SPLITS: Final = {"train": "train", "restval": "train", "val": "dev", "test": "test"}


def read_karpathy(where: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadData for a file of another form, an unknown split and photos that do not exist."""
    name, comma, images = where.rpartition(",")
    if not comma:
        raise BadData(where, "no folder of photos", "karpathy:FILE.json,IMAGES")
    folder = folder_of(images).absolute()  # the paths in a Row are relative to its file
    return gather(karpathy_rows(path_of(name), folder), languages, folder)


def karpathy_rows(file: Path, folder: Path) -> Iterator[Row]:
    """One row per image. Raises BadData, naming the image by its place in the file."""
    whole = read_json(file)
    if not isinstance(whole, dict) or not isinstance(whole.get("images"), list):
        raise BadData(file, "no list of images", "images with filename, split and sentences")
    for number, image in enumerate(whole["images"]):
        try:
            name = str(Path(image.get("filepath", "")) / image["filename"])
            captions = tuple(tidy(sentence["raw"]) for sentence in image["sentences"])
            split = str(image["split"])
        except (KeyError, TypeError, AttributeError) as error:
            found = f"image {number} of another form ({type(error).__name__}: {error})"
            raise BadData(file, found, "filename, split and sentences, each with raw") from error
        if split not in SPLITS:
            raise BadData(file, f"the split {split!r} of {name}", f"one of: {', '.join(SPLITS)}")
        if not captions or not all(captions):
            raise BadData(file, f"{name} with an empty caption or none", "captions")
        yield Row(file, 1, str(folder / name), captions, SPLITS[split])
