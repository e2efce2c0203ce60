"""Images inside container files (tar, Parquet), and the Samples of such files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from showtell.data.files import FileIndex
from showtell.data.rows import SPLITS, split_from_hash
from showtell.errors import BadData, MissingImages
from showtell.languages.tags import lenient_tag
from showtell.records import Sample


@dataclass(frozen=True)
class FileSlice:
    """A range of bytes of an uncompressed file. Calling it reads them, as `core.image.load_image` expects."""

    file: Path
    offset: int
    size: int
    modified: int
    """Modification time of the file in ns: part of the key of cached features."""

    def __call__(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class ImageRecord(NamedTuple):
    """An image and its captions in a container file."""

    name: str
    photo: Path | Callable[[], bytes | Path]
    captions: tuple[str, ...]
    split: str | None
    language: str | None


def split_from_file_name(file: PurePath) -> str | None:
    """The split that a file's name begins with, as in train-00000-of-00012.parquet, or else the only one in it, as in
    cc3m-validation-0000.tar; None when there is none."""
    words = re.split(r"[-_.\s]+", file.stem.lower())
    splits = dict.fromkeys(SPLITS[word] for word in words if word in SPLITS)
    return next(iter(splits)) if len(splits) == 1 or words[0] in SPLITS else None


def samples_from_records(records: Iterable[ImageRecord], languages: Sequence[str], source: object) -> list[Sample]:
    """One Sample per photo and language, in the order of the records; records of one name are merged.

    Raises MissingImages for paths where no file is, BadData for captions of no stated language when several are asked
    for, for two photos of one name, for a name in two splits, and for a language without captions.
    """
    first: dict[str, ImageRecord] = {}
    captions: dict[tuple[str, str], list[str]] = {}
    languages_seen: set[str] = set()
    existing_files = FileIndex()
    missing: dict[str, Path] = {}
    for record in records:
        if record.language is None and len(languages) > 1:
            raise BadData(source, f"captions of {record.name} in no stated language", "a language with each")
        language = lenient_tag(record.language or languages[0])
        languages_seen.add(language)
        if language not in languages:
            continue
        if isinstance(record.photo, Path) and record.photo not in existing_files:
            missing.setdefault(record.name, record.photo)
        known = first.setdefault(record.name, record)
        if known.photo != record.photo:
            raise BadData(source, f"two photos called {record.name}", "a name for each")
        if known.split != record.split:
            raise BadData(source, f"{record.name} in the splits {known.split} and {record.split}", "one split")
        captions.setdefault((record.name, language), []).extend(record.captions)
    if missing:
        raise MissingImages(source, next(iter(missing.values())), list(missing))
    for language in languages:
        if language not in languages_seen:
            raise BadData(
                source, f"captions in {', '.join(sorted(languages_seen)) or 'no language'} only", f"some in {language}"
            )
    return [
        Sample(name, record.photo, tuple(captions[name, language]), record.split or split_from_hash(name), language)
        for name, record in first.items()
        for language in languages
        if (name, language) in captions
    ]
