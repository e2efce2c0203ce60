"""`shards:PATTERN`: tar files as WebDataset has them, photos and captions of one stem beside each other.

    key.jpg with key.txt or key.caption (a caption per line), or key.json (caption or captions; also split, language)

A split that no JSON gives may be in the tar's name (train-000.tar, cc3m-train-0000.tar).

With both, the captions are those of the text file. A photo is named by its tar and its key, because each tar may count
from 0. Links and hidden files are no photos: the former are refused, the latter passed over.

PATTERN may have braces, `part-{000..012}.tar`, and wildcards; it may be a path, or a URL of object storage or, without
wildcards, of a web server (`remote_shards`). A tar is not compressed, so a photo is a stretch of the file, and an index
of those is all that is read at first. The webdataset library streams; training here reads photos in any order.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from showtell.data.containers import FileSlice, ImageRecord, samples_from_records, split_from_file_name
from showtell.data.files import expand_braces, expand_path
from showtell.data.folder_files import is_about_the_data
from showtell.data.omissions import NO_CAPTION, NO_PHOTO, NOT_READ, Omissions, not_read_detail
from showtell.data.remote_files import find_objects
from showtell.data.remote_shards import remote_index
from showtell.data.rows import SPLITS
from showtell.data.shard_index import ShardIndex, Stretch, scan
from showtell.data.text_files import collapse_whitespace, decode_text, numbered_lines
from showtell.errors import BadData
from showtell.image_formats import IMAGE_SUFFIXES
from showtell.records import Sample
from showtell.remote.client import ObjectStatus
from showtell.remote.opened import ObjectPart
from showtell.stages import Stage, silent_stage
from showtell.urls import is_url


@dataclass(frozen=True)
class Shard:
    path: PurePath
    name: str
    """In messages."""
    index: ShardIndex
    photo: Callable[[Stretch], Callable[[], bytes]]
    """From where a photo is to what reads it."""


def read_shards(
    location: str, languages: Sequence[str], omissions: Omissions | None = None, stage: Stage = silent_stage
) -> list[Sample]:
    """`stage` shows how far the reading of remote shards has come, which may take long.

    Raises BadData for a missing or broken tar, one without captions, and captions that make no sense;
    StorageUnreachable and BadConfig for remote ones.
    """
    shards = _remote_shards(location, stage) if is_url(location) else _local_shards(location)
    omissions = omissions or Omissions()
    records = (record for shard in shards for record in shard_records(shard, omissions))
    return samples_from_records(records, languages, location)


def _local_shards(location: str) -> Iterator[Shard]:
    for path in expand_braces(location, str(expand_path(location)), _files):
        try:
            modified = path.stat().st_mtime_ns
            with path.open("rb") as file:
                index = scan(path, file)
        except OSError as error:
            raise BadData(path, f"no whole tar file ({error})", "an uncompressed tar") from error
        yield Shard(path, str(path), index, _part_of_file(path, modified))


def _remote_shards(location: str, stage: Stage) -> Iterator[Shard]:
    urls = expand_braces(location, location, lambda plain: find_objects(plain, "*.tar"))
    with stage("headers of shards", len(urls)) as advance:
        for url in urls:
            index, status = remote_index(url)
            advance(1)
            yield Shard(PurePosixPath(url), url, index, _part_of_object(url, status))


def _part_of_file(path: Path, modified: int) -> Callable[[Stretch], FileSlice]:
    return lambda stretch: FileSlice(path, stretch.offset, stretch.size, modified)


def _part_of_object(url: str, status: ObjectStatus) -> Callable[[Stretch], ObjectPart]:
    return lambda stretch: ObjectPart(url, stretch.offset, stretch.size, status)


def shard_records(shard: Shard, omissions: Omissions) -> Iterator[ImageRecord]:
    """The photos of one tar, in its order. Raises BadData."""
    index, stem = shard.index, shard.path.stem
    omissions.skip("hidden file", index.hidden)
    for member in index.undecoded:
        omissions.add(NOT_READ, f"{stem}/{member}", not_read_detail(member))
    if not index.photos:
        expected = f"files such as 000.jpg with 000.txt ({', '.join(sorted(IMAGE_SUFFIXES))})"
        raise BadData(shard.name, "no photos", expected)
    not_read = {str(PurePath(member).with_suffix("")) for member in index.undecoded}
    for key in sorted(index.texts.keys() - index.photos.keys() - not_read):
        if is_about_the_data(Path(key)):
            omissions.skip("other file")
        else:
            omissions.add(NO_PHOTO, f"{stem}/{key}", "captions of no photo")
    if not index.photos.keys() & index.texts.keys():
        key = next(iter(index.photos))
        raise BadData(shard.name, f"no captions of {key}", f"{key}.txt or {key}.json")
    for key, stretch in index.photos.items():
        if key in index.texts:
            yield _record(shard, key, shard.photo(stretch), index.texts[key])
        else:
            omissions.add(NO_CAPTION, f"{stem}/{key}", "no caption: no text or JSON file of this stem")


def _record(shard: Shard, key: str, photo: Callable[[], bytes], texts: dict[str, bytes]) -> ImageRecord:
    try:
        decoded = {suffix: decode_text(f"{shard.name}, {key}{suffix}", raw) for suffix, raw in texts.items()}
        row: dict[str, Any] = json.loads(decoded[".json"]) if ".json" in decoded else {}
        plain = [text for suffix, text in decoded.items() if suffix != ".json"]
        if len(plain) > 1:
            raise ValueError(f"in {' and '.join(decoded)}")
        if plain:
            row["captions"] = [line for _, line in numbered_lines(plain[0])]
        captions = row["captions"] if "captions" in row else [row["caption"]]
        if not isinstance(captions, list):
            raise TypeError(f"captions {captions!r}")
        captions = tuple(filter(None, (collapse_whitespace(caption) for caption in captions)))
        split, language = row.get("split"), row.get("language")
        split = split_from_file_name(shard.path) if split is None else SPLITS[split.lower()]
        if not (language is None or isinstance(language, str)):
            raise TypeError(f"language {language!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        found = f"captions of {key} that make no sense ({type(error).__name__}: {error})"
        raise BadData(shard.name, found, "a caption per line, or JSON with caption or captions") from error
    if not captions:
        raise BadData(shard.name, f"no words in the captions of {key}", "captions")
    return ImageRecord(f"{shard.path.stem}/{key}", photo, captions, split, language)


def _files(pattern: str) -> list[Path]:
    if not glob.has_magic(pattern) or Path(pattern).exists():
        return [Path(pattern)]
    files = sorted(glob.glob(pattern))  # noqa: PTH207 (pathlib's takes no absolute pattern)
    if not files:
        raise BadData(pattern, "no such files", "tar files")
    return [Path(file) for file in files]
