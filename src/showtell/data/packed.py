"""Photos inside larger files, and the Samples of such files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from showtell.data.files import FileIndex
from showtell.data.gather import SPLITS, hashed_split
from showtell.errors import BadData, MissingImages
from showtell.records import Sample


@dataclass(frozen=True)
class PackedPhoto:
    """The bytes of a photo within an uncompressed file. Called, it reads them, as `core.image.load_image` wants it."""

    file: Path
    offset: int
    size: int
    modified: int
    """When the file was changed last, in ns: features in a cache are those of the file as it was."""

    def __call__(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Entry(NamedTuple):
    """A photo and its captions, as a packed file has them."""

    name: str
    photo: Path | Callable[[], bytes | Path]
    captions: tuple[str, ...]
    split: str | None
    language: str | None


def named_split(file: Path) -> str | None:
    """The split that a file's name begins with, as in train-00000-of-00012.parquet; None when it begins otherwise."""
    return SPLITS.get(re.split(r"[-_.]", file.name.lower())[0])


def pack_samples(entries: Iterable[Entry], languages: Sequence[str], source: object) -> list[Sample]:
    """One Sample per photo and language, in the order of the entries; entries of one name are gathered.

    Raises MissingImages for paths where no file is, BadData for captions of no stated language when several are asked
    for, for two photos of one name, for a name in two splits, and for a language without captions.
    """
    first: dict[str, Entry] = {}
    captions: dict[tuple[str, str], list[str]] = {}
    found: set[str] = set()
    there = FileIndex()
    missing: dict[str, Path] = {}
    for entry in entries:
        if entry.language is None and len(languages) > 1:
            raise BadData(source, f"captions of {entry.name} in no stated language", "a language with each")
        language = entry.language or languages[0]
        found.add(language)
        if language not in languages:
            continue
        if isinstance(entry.photo, Path) and entry.photo not in there:
            missing.setdefault(entry.name, entry.photo)
        known = first.setdefault(entry.name, entry)
        if known.photo != entry.photo:
            raise BadData(source, f"two photos called {entry.name}", "a name for each")
        if known.split != entry.split:
            raise BadData(source, f"{entry.name} in the splits {known.split} and {entry.split}", "one split")
        captions.setdefault((entry.name, language), []).extend(entry.captions)
    if missing:
        raise MissingImages(source, next(iter(missing.values())), list(missing))
    for language in languages:
        if language not in found:
            raise BadData(
                source, f"captions in {', '.join(sorted(found)) or 'no language'} only", f"some in {language}"
            )
    return [
        Sample(name, entry.photo, tuple(captions[name, language]), entry.split or hashed_split(name), language)
        for name, entry in first.items()
        for language in languages
        if (name, language) in captions
    ]
