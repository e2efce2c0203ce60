"""A file for each photo, beside it or in a folder of their own: `photo.txt`, as trainers of image models read it
(kohya, taggui), or `photo.xmp`.

Two photos in one folder that differ in their ending only (`a.jpg`, `a.png`) would share a file; each then has its own,
`a.jpg.txt` and `a.png.txt`. So the name of a file depends on the folder, never on the order of the photos or on what
was done before.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

from showtell.bulk.ledger import Known, State
from showtell.bulk.rows import Record
from showtell.bulk.sinks import SinkOptions
from showtell.bulk.storage import Storage, write_files
from showtell.bulk.xmp import xmp_document
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig
from showtell.image_formats import format_of_suffix
from showtell.urls import is_url

SUFFIXES = {"sidecar": ".txt", "xmp": ".xmp"}


class SidecarSink:
    one_file_each = True
    is_full = False

    def __init__(self, name: str, options: SinkOptions, storage: Storage) -> None:
        """`name`: sidecar, sidecar:DIR, xmp or xmp:DIR. Raises BadConfig for a folder that is a file."""
        self.name, self._storage, self._options = name, storage, options
        self.kind, _, folder = name.partition(":")
        if self.kind == "xmp" and (options.prefix or options.suffix):
            raise BadConfig(f"found --prefix or --suffix with --output {name}; expected --output sidecar")
        self.folder = Path(folder) if folder else None
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise BadConfig(f"--output {name}: {self.folder} is a file; expected a folder")
        # Hidden, so that searches of the folder pass over it.
        self.target = (self.folder or _folder_of(options.inputs)).resolve() / f".showtell-{self.kind}"
        self._ours: frozenset[str] = frozenset()
        self._overwrites = False
        self._pending: dict[Path, bytes] = {}

    def check(self, known: Known, overwrite: bool) -> bool:
        self._ours = known.writing  # before the first photo is looked for
        return known.header is not None

    def start(self, known: Known) -> State:
        self._overwrites = bool(known.header and known.header["overwrite"])
        if self.folder is not None:
            self._storage.make_folder(self.folder)
        return {}

    def exists(self, image: ImageInput) -> bool:
        return image.path not in self._ours and self.path_of(image).exists()

    def add(self, image: ImageInput, record: Record) -> None:
        """Raises BadConfig where a file of other content is there already; that may be somebody's own work."""
        if record["caption"] is None:
            return
        path, content = self.path_of(image), self._content(record)
        there = self._pending.get(path) or (path.read_bytes() if path.is_file() else content)
        if there != content and not self._overwrites and image.path not in self._ours:
            raise BadConfig(
                f"--output {self.name}: found {path} with other content; give --skip-existing to keep such files, or "
                "--overwrite to replace them"
            )
        self._pending[path] = content

    def flush(self) -> State:
        folders = dict.fromkeys(path.parent for path in self._pending)
        for folder in folders if self.folder is not None else ():
            self._storage.make_folder(folder)
        write_files(self._storage, self._pending)
        for folder in folders:
            self._storage.sync_folder(folder)
        self._pending = {}
        return {}

    def prepare(self, retried: Iterator[tuple[int, Record]]) -> State:
        return self.flush()

    def publish(self) -> None:
        pass

    def clean(self) -> None:
        pass

    def where(self) -> str:
        return f"{SUFFIXES[self.kind]} files {'beside the photos' if self.folder is None else f'in {self.folder}'}"

    def close(self) -> None:
        pass

    def path_of(self, image: ImageInput) -> Path:
        """The file of an input. Raises BadConfig for one without a place."""
        suffix = SUFFIXES[self.kind]
        photo = image.file or image.path
        is_file = not is_url(photo) and (image.read is None or image.file is not None)
        if self.folder is None:
            if not is_file:
                raise BadConfig(
                    f"--output {self.name}: found {image.path}, beside which nothing can be written; expected "
                    f"--output {self.kind}:DIR"
                )
            return Path(photo).with_name(_name(Path(photo)) + suffix)
        below = self.folder / _below(photo)
        return below.with_name((_name(Path(photo)) if is_file else below.name) + suffix)

    def _content(self, record: Record) -> bytes:
        if self.kind == "xmp":
            return xmp_document(record["caption"], record["language"])
        captions = [record["caption"], *(other["caption"] for other in record.get("alternatives", []))]
        lines = (f"{self._options.prefix}{text}{self._options.suffix}\n" for text in captions if text is not None)
        return "".join(lines).encode("utf-8", "backslashreplace")


def _folder_of(inputs: tuple[str, ...]) -> Path:
    """Where the ledger of files beside photos is: in or beside the first input that is on the disk."""
    first = next((Path(name) for name in inputs if name != "-" and not is_url(name)), Path())
    return first if first.is_dir() else first.parent


def _below(key: str) -> PurePath:
    """A key as a path that stays below a folder: https://host/a/b.jpg is host/a/b.jpg, ../a.jpg is __/a.jpg."""
    if is_url(key):
        url = urlsplit(key)
        query = f"?{url.query}" if url.query else ""
        key = f"{url.hostname or ''}/{unquote(url.path, errors='surrogateescape')}{query}"
    parts = [re.sub(r"[\0:]", "_", part) for part in re.split(r"[/\\]" if os.name == "nt" else "/", key)]
    kept = ["__" if part == ".." else part for part in parts if part not in ("", ".")]
    return PurePath(*(kept or ["photo"]))


def _name(photo: Path) -> str:
    """Without its ending, unless another photo beside it has the same name otherwise."""
    return photo.name if photo.stem in _shared_stems(str(photo.parent)) else photo.stem


@lru_cache(maxsize=64)
def _shared_stems(folder: str) -> frozenset[str]:
    """Of the photos in a folder."""
    try:
        names = [PurePath(path.name) for path in Path(folder).iterdir()]
    except OSError:
        return frozenset()
    photos = (name for name in names if (known := format_of_suffix(name.name)) is not None and known.is_picture)
    return frozenset(stem for stem, count in Counter(name.stem for name in photos).items() if count > 1)
