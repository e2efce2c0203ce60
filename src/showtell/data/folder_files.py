"""The files of a `folder:` data set, by what they are for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from showtell.data.omissions import CONVERT, NOT_READ, Omissions, not_read_detail
from showtell.data.rows import relative_name
from showtell.errors import BadData, BadImage
from showtell.folder_scan import ATTENTION_MAP, HIDDEN, SYSTEM, check_file, is_other, skip_reason
from showtell.image_formats import SIGNATURE_BYTES, format_of_bytes, has_image_suffix

METADATA: Final = ("metadata.jsonl", "metadata.csv", "metadata.tsv")
"""Hugging Face's imagefolder has one beside its photos, or one in each split; case does not count."""
PARQUET_METADATA: Final = "metadata.parquet"
TEXT_SUFFIXES: Final = (".txt", ".caption", ".captions")
"""One caption per line. Kohya's trainers write .caption."""
JSON_SUFFIX: Final = ".json"
_SKIPPED: Final = {HIDDEN: "hidden file", SYSTEM: "system file", ATTENTION_MAP: "attention map"}
_TABLE_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".parquet")
_ABOUT: Final = frozenset(
    {"readme", "license", "licence", "copying", "notice", "credits", "authors", "changelog", "changes", "todo", "notes"}
    | {"note", "info", "about", "classes", "labels", "requirements", "sources", "urls", "links", "prompt", "log"}
    | {"train", "val", "valid", "dev", "test", "trainval", "files", "filelist", "list", "images", "metadata"}
)
"""Texts about the data set and lists of its files, by their stem: no captions of a lost photo."""


@dataclass
class FolderFiles:
    """Sorted: the order in which a disk lists files is no order to train or report in."""

    photos: list[Path] = field(default_factory=list)
    not_read: list[Path] = field(default_factory=list)
    """Pictures of other formats."""
    texts: list[Path] = field(default_factory=list)
    """Files that may hold captions of one photo, JSON files as well."""
    metadata: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    """Others, which may be the captions of the whole set."""


def list_files(root: Path, omissions: Omissions) -> FolderFiles:
    """Pictures of a format that is not read, hidden files and the system's own go to `omissions`.

    Raises BadData for a folder that cannot be read and for metadata.parquet.
    """
    files = FolderFiles()
    for path in _walk(root, omissions):
        suffix = path.suffix.lower()
        if path.name.lower() in METADATA:
            files.metadata.append(path)
        elif path.name.lower() == PARQUET_METADATA:
            raise BadData(path, "metadata as a Parquet file", f"data=parquet:{path}, which reads it")
        elif suffix in (*TEXT_SUFFIXES, JSON_SUFFIX):
            files.texts.append(path)
        elif suffix in _TABLE_SUFFIXES:
            files.tables.append(path)
        elif is_other(path.name):
            omissions.skip("other file")
        else:
            reason = _why_not_read(path)
            if reason is None:
                files.photos.append(path)
            elif reason:
                files.not_read.append(path)
                omissions.add(NOT_READ, relative_name(root, path), reason)
            else:
                omissions.skip("other file")
    return files


def _why_not_read(path: Path) -> str | None:
    """None for a photo to read, empty for no picture, else why a picture is not read."""
    try:
        if not check_file(str(path)):
            return ""
        if has_image_suffix(path):
            return None
        with path.open("rb") as file:
            image_format = format_of_bytes(file.read(SIGNATURE_BYTES), path)
    except (BadImage, OSError) as error:
        return str(error) if isinstance(error, BadImage) else f"unreadable: {error.strerror}"
    if image_format is not None and image_format.is_decoded:
        return None
    return not_read_detail(path) if image_format is None else f"unsupported: found {image_format.name}; {CONVERT}"


def is_about_the_data(text: Path) -> bool:
    return text.stem.casefold() in _ABOUT


def _walk(root: Path, omissions: Omissions) -> Iterator[Path]:
    """All files; links to folders are followed, each folder is entered once."""
    entered: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        raise BadData(error.filename, f"no way to read it ({error.strerror})", "a readable folder") from error

    for folder, subfolders, names in os.walk(root, onerror=refuse, followlinks=True):
        status = Path(folder).stat()
        if (identity := (status.st_dev, status.st_ino)) in entered:
            subfolders.clear()
            continue
        entered.add(identity)
        for name in subfolders:
            if skip_reason(name):
                omissions.skip("hidden folder" if name.startswith(".") else "system folder")
        subfolders[:] = sorted(name for name in subfolders if not skip_reason(name))
        for name in sorted(names):
            if reason := skip_reason(name):
                omissions.skip(_SKIPPED[reason])
            else:
                yield Path(folder) / name
