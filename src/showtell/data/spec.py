"""Data specs such as `flickr:DIR` or `shapes:2000`: the word before the colon names the reader.

A new format is one module with a `read(location, languages)` function and one line in `READERS`. A reader imports an
optional package only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from showtell.config import nearest
from showtell.data.coco import read_coco
from showtell.data.cs231n import read_cs231n
from showtell.data.features import read_features
from showtell.data.flickr import read_flickr
from showtell.data.folder import read_folder
from showtell.data.karpathy import read_karpathy
from showtell.data.parquet import read_parquet
from showtell.data.shapes import read_shapes
from showtell.data.shards import read_shards
from showtell.data.tables import read_csv, read_jsonl
from showtell.errors import BadConfig
from showtell.languages import canonical_tag
from showtell.records import Sample


class Reader(NamedTuple):
    """The syntax of one kind of data spec, a summary, and the function that reads it."""

    syntax: str
    summary: str
    read: Callable[[str, Sequence[str]], list[Sample]]


READERS: Final = {
    "flickr": Reader("flickr:DIR", "Flickr8k or Flickr30k: captions, split lists, photos", read_flickr),
    "coco": Reader("coco:DIR[,YEAR]", "COCO captions of 2014 or 2017", read_coco),
    "karpathy": Reader("karpathy:FILE,IMAGES", "Karpathy's splits of COCO, Flickr8k, Flickr30k", read_karpathy),
    "csv": Reader("csv:FILE[,IMAGES]", "a table with the columns image and caption", read_csv),
    "jsonl": Reader("jsonl:FILE", "JSON objects with image and caption or captions", read_jsonl),
    "parquet": Reader("parquet:FILE_OR_FOLDER", "tables with photos in them or beside them", read_parquet),
    "shards": Reader("shards:PATTERN", "tar files of photos and captions (WebDataset)", read_shards),
    "folder": Reader("folder:DIR", "photos with text files beside them, or a metadata.jsonl", read_folder),
    "features": Reader("features:FILE", "what `showtell data features` wrote", read_features),
    "cs231n": Reader("cs231n:DIR", "COCO features and captions of Stanford's CS231n", read_cs231n),
    "shapes": Reader("shapes:N[,seed=0]", "N training drawings of coloured shapes, drawn on the fly", read_shapes),
}


def read_samples(spec: str, languages: Sequence[str] = ("en",)) -> list[Sample]:
    """One Sample per image and language, in the order of the files; the languages of an image follow each other.

    Raises BadConfig for a spec that cannot be followed, and BadData when what it names makes no sense or holds nothing.
    """
    kind, colon, location = spec.partition(":")
    if kind not in READERS:
        raise BadConfig(f"data spec {spec!r}: {kind!r} is no kind of data{nearest(kind, READERS)}")
    if not colon or not location:
        raise BadConfig(f"data spec {spec!r}: found nothing after {kind!r}; expected {READERS[kind].syntax}")
    if not languages:
        raise BadConfig(f"data spec {spec!r}: found no languages; expected at least one, such as en")
    try:
        tags = tuple(dict.fromkeys(map(canonical_tag, languages)))
    except ValueError as error:
        raise BadConfig(f"data spec {spec!r}: {error}") from error
    return READERS[kind].read(location, tags)


def select_split(samples: Sequence[Sample], split: str) -> list[Sample]:
    """The samples of one split, in their order. Raises BadConfig, naming the splits that exist, when there are none."""
    chosen = [sample for sample in samples if sample.split == split]
    if not chosen:
        raise BadConfig(f"the data has no split {split!r}{nearest(split, {sample.split for sample in samples})}")
    return chosen
