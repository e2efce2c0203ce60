"""`data.jsonl` in the run folder: the photos and captions that a run trains on, to notice when they have changed.

A line per sample of the train and dev splits, in their order: name, language, split, a hash of the captions, and for a
photo that is a file its size, its modification time and a hash of its beginning and end. Where size and time are as
they were, the file is not opened again; a copy of the data with other times is the same data. A photo in object storage
is known by its place and version. Rejected: a hash of whole files, for which all photos of a large set would be read
before each start. A file of sentences without photos has a line too, with a hash of all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from showtell.data.containers import FileSlice
from showtell.data.omissions import first_names
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
    if isinstance(image, FileSlice):
        file, offset, size = image.file, image.offset, image.size
    elif isinstance(image, Path):
        file, offset, size = image, 0, None
    elif isinstance(image, FeatureRow):
        return Stamp(None, None, f"row {image.row}")
    else:
        return Stamp(None, None, _hash(repr(image).encode(errors="surrogatepass")))
    try:
        status = file.stat()
        size = status.st_size if size is None else size
        if known is not None and (known.size, known.modified) == (size, status.st_mtime_ns):
            return Stamp(known.size, known.modified, known.content)
        with file.open("rb") as opened:
            opened.seek(offset)
            start = opened.read(min(ENDS, size))
            opened.seek(offset + max(len(start), size - ENDS))
            end = opened.read(offset + size - opened.tell())
        return Stamp(size, status.st_mtime_ns, _hash(start + end))
    except OSError as error:
        expected = "a photo; `showtell data check` names all that are none"
        raise BadData(file, f"no way to read it ({error.strerror})", expected) from error


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
