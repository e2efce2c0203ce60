"""Rows of a table, grouped to Samples: one per image and language, images in the order of their first row.

An image without a split gets one from a hash of its name: about nine in ten `train` and one in ten `dev`. Rejected: a
shuffle, which moves images to other splits when some are added or removed. With a hash, a set of a few images may have
none in `dev`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from showtell.data.omissions import Omissions
from showtell.data.photo_finder import AmbiguousName, PhotoFinder, comparable_name
from showtell.errors import BadData, MissingImages
from showtell.languages.tags import lenient_tag
from showtell.records import Sample

SPLITS: Final = {
    **{"train": "train", "dev": "dev", "val": "dev", "validation": "dev", "test": "test"},
    **{"training": "train", "trn": "train", "valid": "dev", "development": "dev", "testing": "test", "tst": "test"},
    "restval": "train",
}
"""Names of splits in data sets (`restval` is Karpathy's), and ours; lower case. `eval` is none: some mean dev by it,
some test."""


class Row(NamedTuple):
    """One line of a file: captions of one image."""

    file: Path
    line: int
    image: str
    """As written: a path relative to the folder of `file`, or absolute; see `photo_finder`."""
    captions: tuple[str, ...]
    split: str | None = None
    language: str | None = None


@dataclass
class _Image:
    path: Path
    split: str
    origin: Row
    written: str
    """The name in `origin`, comparable."""
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
    rows: Iterable[Row],
    languages: Sequence[str],
    source: Path,
    photos: Path | None = None,
    omissions: Omissions | None = None,
    images_in: Path | None = None,
    split_of: Callable[[str], str | None] = lambda name: None,
) -> list[Sample]:
    """Samples named by their path below `photos` or, without it, below `source`, a folder, or the folder of `source`.

    The images in rows are relative to `images_in` or, without it, to the folder of the row's file. Where a row has no
    split, `split_of(name)` decides, and where that is None, the hash of the name.

    Raises MissingImages for image files that do not exist, BadData for a name that several files have, for an image in
    two splits, for captions of no stated language when several languages are asked for, and for a language without
    captions.
    """
    root = photos or (source if source.is_dir() else source.parent)
    images: dict[str, _Image] = {}
    paths: dict[tuple[Path, str], tuple[str, Path]] = {}
    finders: dict[Path, PhotoFinder] = {}
    languages_seen: Counter[str] = Counter()
    missing: dict[str, tuple[Row, Path]] = {}
    for row in rows:
        language = lenient_tag(row.language) if row.language else _single_language(languages, row)
        languages_seen[language] += len(row.captions)
        if language not in languages:
            continue
        folder = images_in or row.file.parent
        if (folder, row.image) not in paths:
            # Only below the folder: what a table in val/ names is never a photo in train/.
            path = _find(finders.setdefault(folder, PhotoFinder(folder)), folder, row)
            if path is None:
                path = folder / row.image
                missing.setdefault(relative_name(root, path), (row, path))
                continue
            paths[folder, row.image] = (relative_name(root, path), path)
        name, path = paths[folder, row.image]
        if name not in images:
            images[name] = _Image(
                path, row.split or split_of(name) or split_from_hash(name), row, comparable_name(row.image)
            )
        image = images[name]
        _check_same_image(image, row)
        if row.split and row.split != image.split:
            raise BadData(row.file, f"{name!r} in {row.split!r}", f"{image.split!r}, as in {_place(image)}", row.line)
        image.captions.setdefault(language, []).extend(row.captions)
    if missing:
        row, path = next(iter(missing.values()))
        raise MissingImages(row.file, path, list(missing), row.line)
    for language in languages:
        if language not in languages_seen:
            found = f"captions in {', '.join(sorted(languages_seen))} only" if languages_seen else "no captions"
            raise BadData(source, found, f"captions in {language}")
    if omissions is not None:
        for language in sorted(languages_seen.keys() - set(languages)):
            omissions.skip(f"{language} caption", languages_seen[language])
    return [
        Sample(name, image.path, tuple(image.captions[language]), image.split, language)
        for name, image in images.items()
        for language in languages
        if language in image.captions
    ]


def _find(finder: PhotoFinder, folder: Path, row: Row) -> Path | None:
    try:
        return finder.find(folder, row.image)
    except AmbiguousName as error:
        found = f"{row.image!r}, which may be {error}"
        raise BadData(row.file, found, "the path of one photo", row.line) from error


def _check_same_image(image: _Image, row: Row) -> None:
    """Raises BadData when two names that may mean different photos, such as train/1.jpg and val/1.jpg, lead to one."""
    if row.image == image.origin.image:
        return
    written = comparable_name(row.image)
    short, long = sorted((written, image.written), key=len)
    if not f"/{long}".endswith(f"/{short}"):
        found = f"{row.image!r}, for which there is only {image.path}, as for {image.origin.image!r}"
        raise BadData(row.file, found, f"a photo for each; {_place(image)} has the other", row.line)


def _place(image: _Image) -> str:
    return f"{image.origin.file.name}, line {image.origin.line}"


def _single_language(languages: Sequence[str], row: Row) -> str:
    if len(languages) > 1:
        expected = f"a language with each, since {', '.join(languages)} are asked for"
        raise BadData(row.file, "captions of no stated language", expected, row.line)
    return languages[0]
