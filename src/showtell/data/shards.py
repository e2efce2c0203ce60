"""`shards:PATTERN`: tar files as WebDataset has them, photos and captions of one stem beside each other.

    key.jpg with key.txt (a caption per line), or key.json (caption or captions; optional split, language)

PATTERN may have braces, `part-{000..012}.tar`, and wildcards. A tar is not compressed, so a photo is a stretch of the
file, and an index of those is all that is read at first. The webdataset library streams, which a cluster's storage
likes; training here reads photos in any order, once, into the cache of features.
"""

from __future__ import annotations

import glob
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from showtell.data.files import IMAGE_SUFFIXES, path_of, tidy
from showtell.data.gather import SPLITS
from showtell.data.packed import Entry, PackedPhoto, pack_samples
from showtell.errors import BadData
from showtell.records import Sample

BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def read_shards(where: str, languages: Sequence[str]) -> list[Sample]:
    """Raises BadData for a missing or broken tar, a photo without captions, and captions that make no sense."""
    files = [file for pattern in _expand(str(path_of(where))) for file in _files(pattern)]
    return pack_samples((entry for file in files for entry in shard_entries(file)), languages, where)


def shard_entries(file: Path) -> Iterator[Entry]:
    """The photos of one tar, in its order. Raises BadData."""
    photos: dict[str, PackedPhoto] = {}
    texts: dict[str, tuple[str, bytes]] = {}
    try:
        modified = file.stat().st_mtime_ns
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                path = Path(member.name)
                suffix, key = path.suffix.lower(), str(path.with_suffix(""))
                if suffix in IMAGE_SUFFIXES:
                    photos[key] = PackedPhoto(file, member.offset_data, member.size, modified)
                elif suffix in (".txt", ".json"):
                    opened = tar.extractfile(member)
                    texts[key] = (suffix, opened.read() if opened else b"")
        if photos and (last := max(photos.values(), key=lambda p: p.offset)).offset + last.size > file.stat().st_size:
            raise tarfile.ReadError("the last photo is cut off")
    except (OSError, tarfile.TarError) as error:
        raise BadData(file, f"no whole tar file ({error})", "an uncompressed tar; make or download it again") from error
    if not photos:
        raise BadData(file, "no photos", f"files such as 000.jpg with 000.txt ({', '.join(sorted(IMAGE_SUFFIXES))})")
    for key, photo in photos.items():
        if key not in texts:
            raise BadData(file, f"no captions of {key}", f"{key}.txt or {key}.json")
        yield _entry(file, key, photo, *texts[key])


def _entry(file: Path, key: str, photo: PackedPhoto, suffix: str, raw: bytes) -> Entry:
    try:
        text = raw.decode("utf-8-sig")
        row: dict[str, Any] = json.loads(text) if suffix == ".json" else {"captions": text.splitlines()}
        captions = row["captions"] if "captions" in row else [row["caption"]]
        captions = tuple(filter(None, (tidy(caption) for caption in captions)))
        split = row.get("split")
        split = None if split is None else SPLITS[split.lower()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"captions of {key} that make no sense ({type(error).__name__}: {error})"
        raise BadData(file, found, "a caption per line, or JSON with caption or captions") from error
    if not captions:
        raise BadData(file, f"no words in the captions of {key}", "captions")
    return Entry(key, photo, captions, split, row.get("language"))


def _expand(pattern: str) -> list[str]:
    """`a{08..10}` -> a08, a09, a10; every pair of braces in turn."""
    found = BRACES.search(pattern)
    if found is None:
        return [pattern]
    first, last = found.groups()
    numbers = [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    return [each for n in numbers for each in _expand(pattern[: found.start()] + n + pattern[found.end() :])]


def _files(pattern: str) -> list[Path]:
    if not glob.has_magic(pattern):
        return [Path(pattern)]
    files = sorted(glob.glob(pattern))  # noqa: PTH207 (pathlib's takes no absolute pattern)
    if not files:
        raise BadData(pattern, "no such files", "tar files")
    return [Path(file) for file in files]
