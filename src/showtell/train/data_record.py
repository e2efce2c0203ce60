"""`data.jsonl` in the run folder: the photos and captions that a run trains on, to notice when they have changed.

A line per sample of the train and dev splits, in their order: name, language, split, a hash of the captions, and for a
photo that is a file its size, its modification time and a hash of its beginning and end. Where size and time are as
they were, the file is not opened again; a copy of the data with other times is the same data. A photo in a Parquet file
is known by that file and its place there, one in object storage by its place and version. Rejected: a hash of whole
files, for which all photos of a large set would be read before each start. A file of sentences without photos has a
line too, with a hash of all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from showtell.data.containers import FileSlice
from showtell.data.omissions import first_names
from showtell.data.parquet import ParquetImage
from showtell.data.table_files import LocalTable
from showtell.errors import BadConfig, BadData
from showtell.files import sha256, write_text
from showtell.loading import LOADER_THREADS
from showtell.records import FeatureRow, Sample

ENDS: Final = 16384
"""Bytes that are hashed at each end of a file; another photo differs in them, even where its size is the same."""
SENTENCES: Final = "sentences"
"""What the record of a file of sentences has in place of a split."""


class Stamp(NamedTuple):
    """What is recorded of an image."""

    size: int | None
    modified: int | None
    """Modification time of its file in ns."""
    content: str
    """Of a file, the hash of its ends; of another image, what it is."""


class SampleRecord(NamedTuple):
    name: str
    language: str
    split: str
    captions: str
    """A hash of them, in their order."""
    size: int | None = None
    modified: int | None = None
    content: str = ""
    """These three as in `Stamp`."""


def record_samples(
    samples: Sequence[Sample], known: Sequence[SampleRecord] = (), sentence_files: Sequence[str] = ()
) -> list[SampleRecord]:
    """The records of the samples in train and dev, and of `train.text.files`. Photos whose size and time are in `known`
    are not opened.

    Raises BadData for a file that cannot be read.
    """
    used = [sample for sample in samples if sample.split in ("train", "dev")]
    earlier = {record.name: record for record in known}

    def stamp(sample: Sample) -> Stamp:
        return _stamp(sample.image, earlier.get(sample.name))

    photos = {sample.name: sample for sample in used}
    with ThreadPoolExecutor(LOADER_THREADS) as pool:
        stamps = dict(zip(photos, pool.map(stamp, photos.values()), strict=True))
    records = [
        SampleRecord(s.name, s.language, s.split, _hash("\n".join(s.captions).encode(errors="surrogatepass")), *stamp)
        for s in used
        for stamp in [stamps[s.name]]
    ]
    return records + [_record_sentences(*spec.split("=", 1)) for spec in sentence_files]


def _record_sentences(language: str, file: str) -> SampleRecord:
    try:
        return SampleRecord(file, language, SENTENCES, sha256(Path(file))[:16])
    except OSError as error:
        raise BadData(file, f"no way to read it ({error.strerror})", "a file of sentences") from error


def write_records(path: Path, records: Sequence[SampleRecord]) -> None:
    write_text(path, "".join(json.dumps(record) + "\n" for record in records))


def read_records(path: Path) -> list[SampleRecord]:
    """Raises BadConfig when the file is damaged."""
    try:
        return [SampleRecord(*json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise BadConfig(
            f"{path}: not the record of a run's data ({error}); remove it if the data are those of the run"
        ) from error


def changes(before: Sequence[SampleRecord], now: Sequence[SampleRecord]) -> list[str]:
    """What is different, one phrase for each kind with the first names; empty when nothing is."""
    old_texts, new_texts = ({r for r in records if r.split == SENTENCES} for records in (before, now))
    old, new = ({(r.name, r.language): r for r in records if r.split != SENTENCES} for records in (before, now))
    both = [key for key in new if key in old]

    def differing(of: Callable[[SampleRecord], object]) -> list[str]:
        return list(dict.fromkeys(key[0] for key in both if of(old[key]) != of(new[key])))

    kinds = {
        "photo{s} added": list(dict.fromkeys(key[0] for key in new if key not in old)),
        "photo{s} gone": list(dict.fromkeys(key[0] for key in old if key not in new)),
        "photo{s} replaced by another": differing(lambda record: (record.size, record.content)),
        "photo{s} with other captions": differing(lambda record: record.captions),
        "photo{s} in another split": differing(lambda record: record.split),
        "file{s} of sentences changed": sorted({record.name for record in old_texts ^ new_texts}),
    }
    found = [
        f"{len(names)} {kind.format(s='' if len(names) == 1 else 's')} ({first_names(names)})"
        for kind, names in kinds.items()
        if names
    ]
    if both != [key for key in old if key in new]:
        found.append("the order of the photos")
    return found


def _stamp(image: object, known: SampleRecord | None) -> Stamp:
    if isinstance(image, FeatureRow):
        return Stamp(None, None, f"row {image.row}")
    if isinstance(image, Path):
        return _stamp_file(image, known, lambda size, modified: _hash_ends(image, 0, size))
    if isinstance(image, FileSlice):
        file, offset = image.file, image.offset
        return _stamp_file(file, known, lambda size, modified: _hash_ends(file, offset, size), image.size)
    other = Stamp(None, None, _hash(repr(image).encode(errors="surrogatepass")))
    if not isinstance(image, ParquetImage) or not isinstance(image.file, LocalTable):
        return other
    if known is not None and known.content == other.content:  # as earlier versions recorded it
        return other
    table, place = image.file.path, f"{image.group} {image.row} {image.column}"
    return _stamp_file(
        table, known, lambda size, modified: _hash(f"{_hash_table(table, size, modified)} {place}".encode())
    )


def _stamp_file(
    file: Path, known: SampleRecord | None, content: Callable[[int, int], str], size: int | None = None
) -> Stamp:
    """`content`: from the size and the modification time, where these are not those that are known. `size`: of a part
    of the file."""
    try:
        status = file.stat()
        size, modified = status.st_size if size is None else size, status.st_mtime_ns
        if known is not None and (known.size, known.modified) == (size, modified):
            return Stamp(known.size, known.modified, known.content)
        return Stamp(size, modified, content(size, modified))
    except OSError as error:
        expected = "a photo; `showtell data check` names all that are none"
        raise BadData(file, f"no way to read it ({error.strerror})", expected) from error


def _hash_ends(file: Path, offset: int, size: int) -> str:
    with file.open("rb") as opened:
        opened.seek(offset)
        start = opened.read(min(ENDS, size))
        opened.seek(offset + max(len(start), size - ENDS))
        return _hash(start + opened.read(offset + size - opened.tell()))


@lru_cache(1024)  # once for all photos of a table
def _hash_table(file: Path, size: int, modified: int) -> str:
    return _hash_ends(file, 0, size)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
