"""Captions to score against, from a file without the photos, or from a data spec.

All formats of `caption_files`, where the captions of an image are collected, and:

    COCO       captions_val2014.json ...: {"images": [{id, file_name}], "annotations": [{image_id, caption}]}
    Karpathy   dataset_coco.json ...: {"images": [{filename, split, sentences: [{raw}]}]}
    tokens     Flickr8k.token.txt ...: NAME.jpg#0 <TAB> caption
    data spec  flickr:DIR and all others that `spec` has

An image has several names: COCO's results give its id, other files its file name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from showtell.data import karpathy
from showtell.data.caption_files import CaptionRecord, parse_document, parse_records, select_language
from showtell.data.coco import parse_coco
from showtell.data.files import expand_path
from showtell.data.rows import SPLITS
from showtell.data.spec import READERS, read_samples, select_split
from showtell.data.text_files import collapse_whitespace, numbered_lines, read_text
from showtell.errors import BadData

TOKEN: Final = re.compile(r"([^\t]*\S)#\d+\s*\t(.*)")


@dataclass(frozen=True)
class References:
    """The human captions of one image."""

    names: tuple[str, ...]
    """The primary one, which no other image of the file has, then others that the image may be called by."""
    captions: tuple[str, ...]
    """None, or blank ones, where the file has an image without captions."""


def read_references(location: str, split: str | None, language: str) -> list[References]:
    """One per image, in the order of the file. `location` is a path, or else a data spec; without `split`, all images.

    Raises BadData, with the place, for what cannot be read, for a split that is not there or that the file does not
    say, and when there is nothing in `language`; BadConfig for a data spec that cannot be followed.
    """
    file = expand_path(location)
    if is_spec(location):
        samples = read_samples(location, (language,))
        chosen = select_split(samples, split) if split else samples
        return [References((sample.name,), sample.captions) for sample in chosen]
    if not file.is_file():
        found = "a folder" if file.exists() else "no such file"
        raise BadData(location, found, f"a file with captions, or a data spec such as {READERS['flickr'].syntax}")
    records = select_language(file, _records(file), language)
    return _group_by_image(records if split is None else _select_split(file, records, split))


def is_spec(location: str) -> bool:
    """Whether it is a data spec; a path that exists is not."""
    return ":" in location and not expand_path(location).exists()


def _records(file: Path) -> Iterator[CaptionRecord]:
    text = read_text(file)
    document = parse_document(file, text)
    if isinstance(document, dict) and isinstance(document.get("images"), list):
        return _coco_records(file, document) if "annotations" in document else _karpathy_records(file, document)
    if document is None and TOKEN.fullmatch(text.lstrip().partition("\n")[0].rstrip("\r")):
        return _token_records(file, text)
    return parse_records(file, text, document)


def _coco_records(file: Path, document: Any) -> Iterator[CaptionRecord]:
    """Annotations made for pycocoevalcap may name no files, and are known by their ids alone."""
    names, captions = parse_coco(file, document, are_files_named=False)
    for image_id, name in names.items():
        yield CaptionRecord(str(file), (image_id, name), tuple(captions.get(image_id, ())))


def _karpathy_records(file: Path, document: Any) -> Iterator[CaptionRecord]:
    seen: set[str] = set()
    for index, image in enumerate(karpathy.parse_karpathy(file, document)):
        if image.filename in seen:
            raise BadData(f"{file}, images, index {index}", f"{image.filename!r} again", "each filename once")
        seen.add(image.filename)
        names = (image.filename, image.image_id, PurePath(image.path).as_posix())
        yield CaptionRecord(
            str(file), tuple(dict.fromkeys(n for n in names if n is not None)), image.captions, image.split
        )


def _token_records(file: Path, text: str) -> Iterator[CaptionRecord]:
    for line, row in numbered_lines(text):
        if not (match := TOKEN.fullmatch(row)):
            raise BadData(file, repr(row[:60]), "NAME#0, a TAB, a caption", line)
        yield CaptionRecord(f"{file}, line {line}", (match[1].strip(),), (collapse_whitespace(match[2]),))


def _select_split(file: Path, records: Iterable[CaptionRecord], split: str) -> list[CaptionRecord]:
    chosen, available = [], set()
    split = SPLITS.get(split.lower(), split)
    for record in records:
        if record.split is None:
            raise BadData(record.location, "no split", f"one with each image, to take those of {split}; or no --split")
        if record.split.lower() not in SPLITS:
            raise BadData(record.location, f"the split {record.split!r}", f"one of: {', '.join(SPLITS)}")
        available.add(SPLITS[record.split.lower()])
        if SPLITS[record.split.lower()] == split:
            chosen.append(record)
    if not chosen:
        raise BadData(file, f"no image of the split {split!r}", f"one of its splits: {', '.join(sorted(available))}")
    return chosen


def _group_by_image(records: Iterable[CaptionRecord]) -> list[References]:
    names: dict[str, dict[str, None]] = {}
    captions: dict[str, list[str]] = {}
    for record in records:
        names.setdefault(record.names[0], {}).update(dict.fromkeys(record.names))
        captions.setdefault(record.names[0], []).extend(record.captions)
    return [References(tuple(names[name]), tuple(captions[name])) for name in names]
