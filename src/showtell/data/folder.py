"""`folder:DIR`: photos in a folder, with their captions beside them.

Either every photo has a text file of the same stem (`dog.jpg`, `dog.txt`), one caption per line, or there are files
`metadata.jsonl` with lines such as `{"file_name": "dog.jpg", "text": "a dog"}` (Hugging Face's imagefolder; `captions`
may give a list). Where there is a metadata.jsonl, photos that it does not name are ignored.

Photos below a subfolder train/, dev/ (or val/, validation/) or test/ belong to that split; for others a hash of the
name decides (`rows`). Subfolders are searched to any depth; hidden files are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from showtell.data.files import collapse_whitespace, read_lines, resolve_folder
from showtell.data.rows import SPLITS, Row, relative_name, samples_from_rows
from showtell.data.tables import jsonl_rows
from showtell.errors import BadData
from showtell.image_formats import has_image_suffix
from showtell.records import Sample

METADATA = "metadata.jsonl"
OTHER_TEXT_FILES = frozenset({"readme.txt", "license.txt", "licence.txt"})


def read_folder(location: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadData for photos without captions, captions without photos, and broken files."""
    root = resolve_folder(location)
    files = list(_files(root))
    tables = [file for file in files if file.name == METADATA]
    rows = (row for table in tables for row in jsonl_rows(table)) if tables else _sidecar_rows(root, files)
    return samples_from_rows((_with_split(row, root) for row in rows), languages, root)


def _files(root: Path) -> Iterator[Path]:
    """All files, sorted: the order in which a disk lists them is no order to train or report in."""

    def refuse(error: OSError) -> None:
        raise BadData(error.filename, f"no way to read it ({error.strerror})", "a readable folder") from error

    for folder, subfolders, names in os.walk(root, onerror=refuse):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(folder) / name


def _sidecar_rows(root: Path, files: Sequence[Path]) -> Iterator[Row]:
    images: dict[Path, Path] = {}
    for file in files:
        if has_image_suffix(file):
            stem = file.with_suffix("")
            if stem in images:
                raise BadData(file, f"{images[stem].name} beside it", "one image for each stem")
            images[stem] = file
    if not images:
        raise BadData(root, "no images", f"files such as dog.jpg with dog.txt, or a {METADATA}")
    sidecars = {file.with_suffix(""): file for file in files if file.suffix.lower() == ".txt"}
    for stem, sidecar in sidecars.items():
        if stem not in images and sidecar.name.lower() not in OTHER_TEXT_FILES:
            raise BadData(sidecar, f"no image {stem.name} beside it", "an image of the same stem")
    for stem, image in images.items():
        if stem not in sidecars:
            raise BadData(image, "no captions", f"{stem.name}.txt beside it, one caption per line")
        rows = [
            Row(sidecars[stem], line, image.name, (collapse_whitespace(text),))
            for line, text in read_lines(sidecars[stem])
        ]
        if not rows:
            raise BadData(sidecars[stem], "an empty caption", "one caption per line", line=1)
        yield from rows


def _with_split(row: Row, root: Path) -> Row:
    top, slash, _ = relative_name(root, row.file.parent / row.image).partition("/")
    return row._replace(split=SPLITS[top]) if slash and row.split is None and top in SPLITS else row
