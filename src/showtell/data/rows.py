"""Rows of a table, grouped to Samples: one per image and language, images in the order of their first row.

An image without a split gets one from a hash of its name: about nine in ten `train` and one in ten `dev`. Rejected: a
shuffle, which moves images to other splits when some are added or removed. With a hash, a set of a few images may have
none in `dev`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from showtell.data.files import FileIndex
from showtell.errors import BadData, MissingImages
from showtell.languages.tags import lenient_tag
from showtell.records import Sample

SPLITS: Final = {"train": "train", "dev": "dev", "val": "dev", "validation": "dev", "test": "test"}
"""Names of splits in data sets, and ours."""


class Row(NamedTuple):
    """One line of a file: captions of one image."""

    file: Path
    line: int
    image: str
    """As written: a path relative to the folder of `file`, or absolute."""
    captions: tuple[str, ...]
    split: str | None = None
    language: str | None = None


@dataclass
class _Image:
    path: Path
    split: str
    origin: Row
    captions: dict[str, list[str]] = field(default_factory=dict)


def split_from_hash(name: str) -> str:
    """`dev` for about one name in ten and `train` for the others, always the same for the same name."""
    # Names of files need not be valid Unicode.
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).digest()
    return "dev" if int.from_bytes(digest[:4], "big") % 10 == 0 else "train"


def relative_name(root: Path, path: Path) -> str:
    """The path below the data set's folder, with forward slashes; the whole path when it lies elsewhere."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def samples_from_rows(
    rows: Iterable[Row], languages: Sequence[str], source: Path, photos: Path | None = None
) -> list[Sample]:
    """Samples named by their path below `photos` or, without it, below `source`, a folder, or the folder of `source`.

    Raises MissingImages for image files that do not exist, BadData for an image in two splits, for captions of no
    stated language when several languages are asked for, and for a language without captions.
    """
    root = photos or (source if source.is_dir() else source.parent)
    images: dict[str, _Image] = {}
    paths: dict[tuple[Path, str], tuple[str, Path]] = {}
    existing_files = FileIndex()
    languages_seen: set[str] = set()
    missing: dict[str, tuple[Row, Path]] = {}
    for row in rows:
        language = lenient_tag(row.language) if row.language else _single_language(languages, row)
        languages_seen.add(language)
        if language not in languages:
            continue
        folder = row.file.parent
        if (folder, row.image) not in paths:
            path = folder / row.image
            if path not in existing_files:
                missing.setdefault(relative_name(root, path), (row, path))
                continue
            paths[folder, row.image] = (relative_name(root, path), path)
        name, path = paths[folder, row.image]
        if name not in images:
            images[name] = _Image(path, row.split or split_from_hash(name), row)
        image = images[name]
        if row.split and row.split != image.split:
            first = f"{image.origin.file.name}, line {image.origin.line}"
            raise BadData(row.file, f"{name!r} in {row.split!r}", f"{image.split!r}, as in {first}", row.line)
        image.captions.setdefault(language, []).extend(row.captions)
    if missing:
        row, path = next(iter(missing.values()))
        raise MissingImages(row.file, path, list(missing), row.line)
    for language in languages:
        if language not in languages_seen:
            found = f"captions in {', '.join(sorted(languages_seen))} only" if languages_seen else "no captions"
            raise BadData(source, found, f"captions in {language}")
    return [
        Sample(name, image.path, tuple(image.captions[language]), image.split, language)
        for name, image in images.items()
        for language in languages
        if language in image.captions
    ]


def _single_language(languages: Sequence[str], row: Row) -> str:
    if len(languages) > 1:
        expected = f"a language with each, since {', '.join(languages)} are asked for"
        raise BadData(row.file, "captions of no stated language", expected, row.line)
    return languages[0]
