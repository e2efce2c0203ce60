"""`karpathy:FILE.json,IMAGES`: the splits of Karpathy & Fei-Fei 2015 for COCO, Flickr8k and Flickr30k.

`dataset_coco.json`, `dataset_flickr8k.json`, `dataset_flickr30k.json`; photos in the folder IMAGES, those of COCO below
it in train2014/ and val2014/. `restval` is training, as everybody has it, and `val` our dev.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from showtell.data.coco import read_json
from showtell.data.files import expand_path, resolve_folder
from showtell.data.omissions import Omissions
from showtell.data.rows import Row, samples_from_rows
from showtell.data.text_files import collapse_whitespace
from showtell.errors import BadData
from showtell.records import Sample

SPLITS: Final = {"train": "train", "restval": "train", "val": "dev", "test": "test"}


class KarpathyImage(NamedTuple):
    """One image of such a file."""

    path: str
    """Below the folder of photos: `filepath`, where there is one, and `filename`."""
    filename: str
    image_id: str | None
    """COCO's id; in the files of Flickr8k and Flickr30k, which have none, `imgid`, the place in the file."""
    split: str
    captions: tuple[str, ...]


def read_karpathy(location: str, languages: Sequence[str], omissions: Omissions | None = None) -> list[Sample]:
    """Raises BadData for a file of another form, an unknown split and photos that do not exist."""
    name, comma, images = location.rpartition(",")
    if not comma:
        raise BadData(location, "no folder of photos", "karpathy:FILE.json,IMAGES")
    folder = resolve_folder(images).absolute()
    rows = karpathy_rows(expand_path(name))
    return samples_from_rows(rows, languages, folder, omissions=omissions, images_in=folder)


def karpathy_rows(file: Path) -> Iterator[Row]:
    """One row per image. Raises BadData as `parse_karpathy`, and for an image without captions or with an empty one."""
    for image in parse_karpathy(file, read_json(file)):
        if not image.captions or not all(image.captions):
            raise BadData(file, f"{image.path} with an empty caption or none", "captions")
        yield Row(file, 1, image.path, image.captions, image.split)


def parse_karpathy(file: Path, document: Any) -> Iterator[KarpathyImage]:
    """Raises BadData, naming the image by its place in the file; captions may be blank."""
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise BadData(file, "no list of images", "images with filename, split and sentences")
    for number, image in enumerate(document["images"]):
        try:
            path = str(Path(image.get("filepath", "")) / image["filename"])
            captions = tuple(collapse_whitespace(sentence["raw"]) for sentence in image["sentences"])
            split = str(image["split"])
        except (KeyError, TypeError, AttributeError) as error:
            found = f"image {number} of another form ({type(error).__name__}: {error})"
            raise BadData(file, found, "filename, split and sentences, each with raw") from error
        if split not in SPLITS:
            raise BadData(file, f"the split {split!r} of {path}", f"one of: {', '.join(SPLITS)}")
        # Where there is a cocoid, imgid is left alone: it counts from 0 and so would be the cocoid of another image.
        cocoid_or_imgid = image.get("cocoid", image.get("imgid"))
        image_id = None if cocoid_or_imgid is None else str(cocoid_or_imgid)
        yield KarpathyImage(path, image["filename"], image_id, SPLITS[split], captions)
