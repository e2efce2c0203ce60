"""`shards:PATTERN`: tar files as WebDataset has them, photos and captions of one stem beside each other.

    key.jpg with key.txt or key.caption (a caption per line), or key.json (caption or captions; also split, language)

A split that no JSON gives may be in the tar's name (train-000.tar, cc3m-train-0000.tar).

With both, the captions are those of the text file. A photo is named by its tar and its key, because each tar may count
from 0. Links and hidden files are no photos: the former are refused, the latter passed over.

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

from showtell.data.containers import FileSlice, ImageRecord, samples_from_records, split_from_file_name
from showtell.data.files import expand_path
from showtell.data.folder_files import is_about_the_data
from showtell.data.omissions import NO_CAPTION, NO_PHOTO, NOT_READ, Omissions, not_read_detail
from showtell.data.rows import SPLITS
from showtell.data.text_files import collapse_whitespace, decode_text, numbered_lines
from showtell.errors import BadData
from showtell.image_formats import IMAGE_SUFFIXES, has_undecoded_suffix
from showtell.records import Sample

TEXT_SUFFIXES = frozenset({".txt", ".caption", ".captions", ".json"})
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def read_shards(location: str, languages: Sequence[str], omissions: Omissions | None = None) -> list[Sample]:
    """Raises BadData for a missing or broken tar, one without captions, and captions that make no sense."""
    files = [file for pattern in _expand(str(expand_path(location))) for file in _files(pattern)]
    if not files:
        raise BadData(location, "no numbers in a pair of braces", "the smaller one first, as in {000..012}")
    omissions = omissions or Omissions()
    records = (record for file in files for record in shard_records(file, omissions))
    return samples_from_records(records, languages, location)


def shard_records(file: Path, omissions: Omissions) -> Iterator[ImageRecord]:
    """The photos of one tar, in its order. Raises BadData."""
    photos: dict[str, FileSlice] = {}
    texts: dict[str, dict[str, bytes]] = {}
    not_read: set[str] = set()
    try:
        modified = file.stat().st_mtime_ns
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                path = Path(member.name)
                suffix, key = path.suffix.lower(), str(path.with_suffix(""))
                if path.name.startswith("."):
                    omissions.skip("hidden file")
                    continue
                if has_undecoded_suffix(path):
                    not_read.add(key)
                    omissions.add(NOT_READ, f"{file.stem}/{member.name}", not_read_detail(path))
                if suffix not in IMAGE_SUFFIXES | TEXT_SUFFIXES:
                    continue
                if not member.isreg() or member.issparse():
                    raise BadData(file, f"{member.name}, which is a link, a folder or sparse", "plain files")
                if suffix in IMAGE_SUFFIXES:
                    if key in photos:
                        raise BadData(file, f"two photos of {key}", "one photo for each key")
                    photos[key] = FileSlice(file, member.offset_data, member.size, modified)
                else:
                    opened = tar.extractfile(member)
                    texts.setdefault(key, {})[suffix] = opened.read() if opened else b""
            _check_end(file, tar.offset)
    except (OSError, tarfile.TarError) as error:
        raise BadData(file, f"no whole tar file ({error})", "an uncompressed tar; make or download it again") from error
    if not photos:
        raise BadData(file, "no photos", f"files such as 000.jpg with 000.txt ({', '.join(sorted(IMAGE_SUFFIXES))})")
    for key in sorted(texts.keys() - photos.keys() - not_read):
        if is_about_the_data(Path(key)):
            omissions.skip("other file")
        else:
            omissions.add(NO_PHOTO, f"{file.stem}/{key}", "captions of no photo")
    if not photos.keys() & texts.keys():
        key = next(iter(photos))
        raise BadData(file, f"no captions of {key}", f"{key}.txt or {key}.json")
    for key, photo in photos.items():
        if key in texts:
            yield _record(file, key, photo, texts[key])
        else:
            omissions.add(NO_CAPTION, f"{file.stem}/{key}", "no caption: no text or JSON file of this stem")


def _check_end(file: Path, offset: int) -> None:
    """tarfile takes a file that was cut, or a damaged header, for the end; a whole tar ends with zeros.

    Raises tarfile.ReadError.
    """
    with file.open("rb") as raw:
        raw.seek(offset)
        if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"no end mark at byte {offset}, after the last file that can be read")


def _record(file: Path, key: str, photo: FileSlice, texts: dict[str, bytes]) -> ImageRecord:
    try:
        decoded = {suffix: decode_text(f"{file}, {key}{suffix}", raw) for suffix, raw in texts.items()}
        row: dict[str, Any] = json.loads(decoded[".json"]) if ".json" in decoded else {}
        plain = [text for suffix, text in decoded.items() if suffix != ".json"]
        if len(plain) > 1:
            raise ValueError(f"in {' and '.join(decoded)}")
        if plain:
            row["captions"] = [line for _, line in numbered_lines(plain[0])]
        captions = row["captions"] if "captions" in row else [row["caption"]]
        if not isinstance(captions, list):
            raise TypeError(f"captions {captions!r}")
        captions = tuple(filter(None, (collapse_whitespace(caption) for caption in captions)))
        split, language = row.get("split"), row.get("language")
        split = split_from_file_name(file) if split is None else SPLITS[split.lower()]
        if not (language is None or isinstance(language, str)):
            raise TypeError(f"language {language!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        found = f"captions of {key} that make no sense ({type(error).__name__}: {error})"
        raise BadData(file, found, "a caption per line, or JSON with caption or captions") from error
    if not captions:
        raise BadData(file, f"no words in the captions of {key}", "captions")
    return ImageRecord(f"{file.stem}/{key}", photo, captions, split, language)


def _expand(pattern: str) -> list[str]:
    """`a{08..10}` -> a08, a09, a10; every pair of braces in turn."""
    braces = BRACES.search(pattern)
    if braces is None:
        return [pattern]
    first, last = braces.groups()
    numbers = [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    return [name for n in numbers for name in _expand(pattern[: braces.start()] + n + pattern[braces.end() :])]


def _files(pattern: str) -> list[Path]:
    if not glob.has_magic(pattern) or Path(pattern).exists():
        return [Path(pattern)]
    files = sorted(glob.glob(pattern))  # noqa: PTH207 (pathlib's takes no absolute pattern)
    if not files:
        raise BadData(pattern, "no such files", "tar files")
    return [Path(file) for file in files]
