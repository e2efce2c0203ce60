"""Rows of a table become Samples: one per image and language, images in the order of their first row.

An image without a split gets one from a hash of its name, about nine in ten `train` and one in ten `dev`. A hash and no
shuffle, because then a photo stays in its split when others are added or removed; the price is that a set of a few
photos may have none in `dev`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from showtell.data.files import FileIndex
from showtell.errors import BadData, MissingImages
from showtell.records import Sample

SPLITS: Final = {"train": "train", "dev": "dev", "val": "dev", "validation": "dev", "test": "test"}
"""The names under which data sets keep their splits, and ours."""


class Row(NamedTuple):
    """Some captions of one image, as one line of a file gives them."""

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


def hashed_split(name: str) -> str:
    """`dev` for about one name in ten and `train` for the others, always the same for the same name."""
    # Names of files need not be valid Unicode.
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).digest()
    return "dev" if int.from_bytes(digest[:4], "big") % 10 == 0 else "train"


def name_below(root: Path, path: Path) -> str:
    """The path below the data set's folder, with forward slashes; the whole path when it lies elsewhere."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def gather(rows: Iterable[Row], languages: Sequence[str], source: Path, photos: Path | None = None) -> list[Sample]:
    """Samples named by their path below `photos` or, without it, below `source`, a folder, or the folder of `source`.

    Raises MissingImages for image files that do not exist, BadData for an image in two splits, for captions of no
    stated language when several languages are asked for, and for a language without captions.
    """
    root = photos or (source if source.is_dir() else source.parent)
    images: dict[str, _Image] = {}
    paths: dict[tuple[Path, str], tuple[str, Path]] = {}
    there = FileIndex()
    found_languages: set[str] = set()
    missing: dict[str, tuple[Row, Path]] = {}
    for row in rows:
        language = row.language or _only(languages, row)
        found_languages.add(language)
        if language not in languages:
            continue
        folder = row.file.parent
        if (folder, row.image) not in paths:
            path = folder / row.image
            if path not in there:
                missing.setdefault(name_below(root, path), (row, path))
                continue
            paths[folder, row.image] = (name_below(root, path), path)
        name, path = paths[folder, row.image]
        if name not in images:
            images[name] = _Image(path, row.split or hashed_split(name), row)
        image = images[name]
        if row.split and row.split != image.split:
            first = f"{image.origin.file.name}, line {image.origin.line}"
            raise BadData(row.file, f"{name!r} in {row.split!r}", f"{image.split!r}, as in {first}", row.line)
        image.captions.setdefault(language, []).extend(row.captions)
    if missing:
        row, path = next(iter(missing.values()))
        raise MissingImages(row.file, path, list(missing), row.line)
    for language in languages:
        if language not in found_languages:
            others = f"captions in {', '.join(sorted(found_languages))} only" if found_languages else "no captions"
            raise BadData(source, others, f"captions in {language}")
    return [
        Sample(name, image.path, tuple(image.captions[language]), image.split, language)
        for name, image in images.items()
        for language in languages
        if language in image.captions
    ]


def _only(languages: Sequence[str], row: Row) -> str:
    if len(languages) > 1:
        expected = f"a language with each, since {', '.join(languages)} are asked for"
        raise BadData(row.file, "captions of no stated language", expected, row.line)
    return languages[0]
