"""Captions to score against, from a file without the photos, or from a data spec.

All forms of `entries`, where rows of the same image are gathered, and:

    COCO       captions_val2014.json ...: {"images": [{id, file_name}], "annotations": [{image_id, caption}]}
    Karpathy   dataset_coco.json ...: {"images": [{filename, split, sentences: [{raw}]}]}
    tokens     Flickr8k.token.txt ...: NAME.jpg#0 <TAB> caption
    data spec  flickr:DIR and all others that `spec` has

An image has several names, since COCO's results know it by its id and other files by its file name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from showtell.data import gather, karpathy
from showtell.data.coco import parse_coco
from showtell.data.entries import Entry, entries_of, of_language, parse_whole
from showtell.data.files import numbered_lines, path_of, read_text, tidy
from showtell.data.spec import READERS, of_split, read_samples
from showtell.errors import BadData

SPLITS: Final = {**gather.SPLITS, **karpathy.SPLITS}
TOKEN: Final = re.compile(r"([^\t]*\S)#\d+\s*\t(.*)")


@dataclass(frozen=True)
class References:
    """The human captions of one image."""

    names: tuple[str, ...]
    """The primary one, which no other image of the file has, then others that the image may be called by."""
    captions: tuple[str, ...]
    """None, or blank ones, where the file has an image without captions."""


def read_references(where: str, split: str | None, language: str) -> list[References]:
    """One per image, in the order of the file. `where` is a path, or else a data spec; without `split`, all images.

    Raises BadData, with the place, for what cannot be read, for a split that is not there or that the file does not
    say, and when there is nothing in `language`; BadConfig for a data spec that cannot be followed.
    """
    file = path_of(where)
    if is_spec(where):
        samples = read_samples(where, (language,))
        chosen = of_split(samples, split) if split else samples
        return [References((sample.name,), sample.captions) for sample in chosen]
    if not file.is_file():
        found = "a folder" if file.exists() else "no such file"
        raise BadData(where, found, f"a file with captions, or a data spec such as {READERS['flickr'].form}")
    entries = of_language(file, _entries(file), language)
    return _gathered(entries if split is None else _of_split(file, entries, split))


def is_spec(where: str) -> bool:
    """Whether it is a data spec; a path that exists is not."""
    return ":" in where and not path_of(where).exists()


def _entries(file: Path) -> Iterator[Entry]:
    text = read_text(file)
    whole = parse_whole(file, text)
    if isinstance(whole, dict) and isinstance(whole.get("images"), list):
        return _coco_entries(file, whole) if "annotations" in whole else _karpathy_entries(file, whole)
    if whole is None and TOKEN.fullmatch(text.lstrip().partition("\n")[0].rstrip("\r")):
        return _token_entries(file, text)
    return entries_of(file, text, whole)


def _coco_entries(file: Path, whole: Any) -> Iterator[Entry]:
    names, captions = parse_coco(file, whole)
    for identity, name in names.items():
        yield Entry(str(file), (identity, name), tuple(captions.get(identity, ())))


def _karpathy_entries(file: Path, whole: Any) -> Iterator[Entry]:
    seen: set[str] = set()
    for index, image in enumerate(karpathy.parse_karpathy(file, whole)):
        if image.filename in seen:
            raise BadData(f"{file}, images, index {index}", f"{image.filename!r} again", "each filename once")
        seen.add(image.filename)
        names = (image.filename, image.identity, PurePath(image.path).as_posix())
        yield Entry(str(file), tuple(dict.fromkeys(n for n in names if n is not None)), image.captions, image.split)


def _token_entries(file: Path, text: str) -> Iterator[Entry]:
    for line, one in numbered_lines(text):
        if not (match := TOKEN.fullmatch(one)):
            raise BadData(file, repr(one[:60]), "NAME#0, a TAB, a caption", line)
        yield Entry(f"{file}, line {line}", (match[1].strip(),), (tidy(match[2]),))


def _of_split(file: Path, entries: Iterable[Entry], split: str) -> list[Entry]:
    chosen, there = [], set()
    split = SPLITS.get(split.lower(), split)
    for entry in entries:
        if entry.split is None:
            raise BadData(entry.where, "no split", f"one with each image, to take those of {split}; or no --split")
        if entry.split.lower() not in SPLITS:
            raise BadData(entry.where, f"the split {entry.split!r}", f"one of: {', '.join(SPLITS)}")
        there.add(SPLITS[entry.split.lower()])
        if SPLITS[entry.split.lower()] == split:
            chosen.append(entry)
    if not chosen:
        raise BadData(file, f"no image of the split {split!r}", f"one of its splits: {', '.join(sorted(there))}")
    return chosen


def _gathered(entries: Iterable[Entry]) -> list[References]:
    names: dict[str, dict[str, None]] = {}
    captions: dict[str, list[str]] = {}
    for entry in entries:
        names.setdefault(entry.names[0], {}).update(dict.fromkeys(entry.names))
        captions.setdefault(entry.names[0], []).extend(entry.captions)
    return [References(tuple(names[name]), tuple(captions[name])) for name in names]
