"""Data specs such as `flickr:DIR` or `shapes:2000`: the word before the colon names the reader.

A new format is one module with a `read(location, languages, omissions, stage)` function, or one with fewer arguments,
and one line in `READERS`. A reader imports an optional package only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from showtell.config import nearest
from showtell.data.coco import read_coco
from showtell.data.cs231n import read_cs231n
from showtell.data.features import read_features
from showtell.data.files import expand_path
from showtell.data.flickr import read_flickr
from showtell.data.folder import read_folder
from showtell.data.folder_files import METADATA
from showtell.data.karpathy import read_karpathy
from showtell.data.omissions import Omissions
from showtell.data.parquet import read_parquet
from showtell.data.rows import SPLITS
from showtell.data.shapes import read_shapes
from showtell.data.shards import read_shards
from showtell.data.tables import read_csv, read_jsonl
from showtell.errors import BadConfig
from showtell.languages import canonical_tag
from showtell.records import Sample
from showtell.stages import Stage, silent_stage


class Reader(NamedTuple):
    """The syntax of one kind of data spec, a summary, and the function that reads it."""

    syntax: str
    summary: str
    read: Read


Read = Callable[[str, Sequence[str], Omissions, Stage], list[Sample]]


def _at_once(read: Callable[[str, Sequence[str], Omissions], list[Sample]]) -> Read:
    """A reader that has no progress to show."""
    return lambda location, languages, omissions, _: read(location, languages, omissions)


def _with_stage(read: Callable[[str, Sequence[str], Stage], list[Sample]]) -> Read:
    return lambda location, languages, _, stage: read(location, languages, stage)


def _complete(read: Callable[[str, Sequence[str]], list[Sample]]) -> Read:
    """A reader of data that leaves nothing out."""
    return lambda location, languages, *_: read(location, languages)


READERS: Final = {
    "flickr": Reader("flickr:DIR", "Flickr8k or Flickr30k: captions, split lists, photos", _at_once(read_flickr)),
    "coco": Reader("coco:DIR[,YEAR]", "COCO captions of 2014 or 2017", _at_once(read_coco)),
    "karpathy": Reader("karpathy:FILE,IMAGES", "Karpathy's splits of COCO and Flickr", _at_once(read_karpathy)),
    "csv": Reader("csv:FILE[,IMAGES]", "a table with the columns image and caption", _at_once(read_csv)),
    "jsonl": Reader("jsonl:FILE", "JSON objects with image and caption or captions", _at_once(read_jsonl)),
    "parquet": Reader("parquet:FILE_OR_FOLDER", "tables with photos in them or beside them", _with_stage(read_parquet)),
    "shards": Reader("shards:PATTERN", "tar files of photos and captions (WebDataset), also s3:// ...", read_shards),
    "folder": Reader("folder:DIR", "photos with text files beside them, or a metadata file", _at_once(read_folder)),
    "features": Reader("features:FILE", "what `showtell data features` wrote", _complete(read_features)),
    "cs231n": Reader("cs231n:DIR", "COCO features and captions of Stanford's CS231n", _complete(read_cs231n)),
    "shapes": Reader(
        "shapes:N[,seed=0]", "N training drawings of coloured shapes, drawn on the fly", _complete(read_shapes)
    ),
}


def read_samples(
    spec: str,
    languages: Sequence[str] = ("en",),
    omissions: Omissions | None = None,
    stage: Stage = silent_stage,
) -> list[Sample]:
    """One Sample per image and language, in the order of the files; the languages of an image follow each other. What
    is left out is added to `omissions`; `stage` shows how far long reading has come.

    Raises BadConfig for a spec that cannot be followed, BadData when what it names makes no sense or holds nothing, and
    StorageUnreachable when remote data cannot be read now.
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
    return READERS[kind].read(location, tags, omissions or Omissions(), stage)


def tables_of(spec: str) -> list[Path]:
    """The files that a spec names, or the tables in the folder that it names, so that nothing is written over them."""
    location = spec.partition(":")[2]
    paths = [expand_path(name) for name in (location, location.rpartition(",")[0]) if name]
    return [*paths, *(path / name for path in paths if path.is_dir() for name in METADATA)]


def select_split(samples: Sequence[Sample], split: str) -> list[Sample]:
    """The samples of one split, in their order; `val` and the like mean dev.

    Raises BadConfig, naming the splits that exist, when there are none.
    """
    chosen = [sample for sample in samples if sample.split == SPLITS.get(split.lower(), split)]
    if not chosen:
        raise BadConfig(f"the data has no split {split!r}{nearest(split, {sample.split for sample in samples})}")
    return chosen
