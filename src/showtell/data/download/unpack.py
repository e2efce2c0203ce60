"""What a reader needs of an archive, unpacked: all of it under a temporary name, then renamed, or nothing.

Of an archive only the contents that the table lists are unpacked, to the paths of the table. Photos keep their names,
which are plain ones in all these data sets. What is there already is never changed or removed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from showtell.data.download.catalogue import Archive, Content
from showtell.data.download.members import Member, opened
from showtell.errors import OUTPUT_ERRNOS, BadData, OutputError

_PHOTO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.jpg", re.IGNORECASE)
_BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class Found:
    """What a path of the data set holds."""

    files: int
    size: int
    """Bytes."""


def inspect(folder: Path, content: Content) -> Found | None:
    """None where nothing is there."""
    path = folder / content.path
    if content.photos is None:
        return Found(1, path.stat().st_size) if path.is_file() else None
    try:
        with os.scandir(path) as entries:
            sizes = [entry.stat().st_size for entry in entries if _PHOTO.fullmatch(entry.name) and entry.is_file()]
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise BadData(path, "a file", "a folder of photos, or nothing; move it away") from error
    return Found(len(sizes), sum(sizes)) if sizes else None


def check_place(folder: Path, content: Content) -> None:
    """Raises BadData where something is in the place of contents that `inspect` has not found: before a download of
    hours, not after it."""
    path = folder / content.path
    if content.photos is not None and path.is_dir() and (path.is_symlink() or any(path.iterdir())):
        found = "a link to another folder" if path.is_symlink() else "files that are not the photos"
        raise BadData(path, found, "the photos, an empty folder, or none; move it away")
    parent = next(place for place in path.parents if place.exists())
    if folder.exists() and parent.stat().st_dev != folder.stat().st_dev:  # nothing can be renamed to there
        raise BadData(parent, f"a folder on another disk than {folder}", "one on the same disk; move it away")


def temporary_folder(folder: Path, archive: Archive) -> Path:
    return folder / f".{archive.name}.unpacking"


def unpack(
    file: Path, archive: Archive, contents: Sequence[Content], folder: Path, advance: Callable[[int], object]
) -> dict[str, Found]:
    """Unpack `contents`, which are not there yet, to `folder`; what was unpacked, by path. `advance`: one file more.

    Raises BadData for an archive that is broken, hostile, or of another content, and OutputError when the disk takes no
    more; then nothing is left of it.
    """
    temporary = temporary_folder(folder, archive)
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    try:
        found = _write(file, archive, contents, temporary, advance)
        if hasattr(os, "sync"):
            os.sync()  # one by one, 100,000 photos take hours
        for content in contents:
            target = folder / content.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if content.photos is not None and target.is_dir():
                target.rmdir()  # empty: see `check_place`
            (temporary / content.path).replace(target)
    except OSError as error:
        if error.errno in OUTPUT_ERRNOS:
            raise OutputError.of(folder, error, f"{file} is kept") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found


def _write(
    file: Path, archive: Archive, contents: Sequence[Content], temporary: Path, advance: Callable[[int], object]
) -> dict[str, Found]:
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    taken: set[str] = set()
    with opened(file, archive.max_unpacked) as members:
        for member in members:
            content = _content_of(member, contents)
            if content is None:
                continue
            target = temporary / content.path
            if content.photos is not None:
                target /= member.parts[-1]
            if (key := str(target).casefold()) in taken:
                raise BadData(file, f"{'/'.join(member.parts)!r} twice", "each file once")
            taken.add(key)
            files[content.path] += 1
            sizes[content.path] += _copy(file, member, target, archive.max_unpacked - sizes.total())
            advance(1)
    for content in contents:
        expected = 1 if content.photos is None else content.photos
        if files[content.path] != expected:
            what = "" if content.photos is None else f"{expected:,} photos in "
            raise BadData(file, f"{files[content.path]:,} of them", f"{what}{content.path}")
    return {path: Found(files[path], sizes[path]) for path in files}


def _content_of(member: Member, contents: Sequence[Content]) -> Content | None:
    """What the member is, or is in. Archives have the same files at the top or in a folder of their own."""
    if any(part.startswith(".") or part == "__MACOSX" for part in member.parts):
        return None
    for content in contents:
        path = tuple(content.path.split("/"))
        place = member.parts if content.photos is None else member.parts[:-1]
        if place[-len(path) :] != path or len(place) > len(path) + 1:
            continue
        if content.photos is None or _PHOTO.fullmatch(member.parts[-1]):
            return content
    return None


def _copy(file: Path, member: Member, target: Path, left: int) -> int:
    """The number of bytes written, at most `left`."""
    if member.size > left:
        raise BadData(file, "far more bytes than the data set has", "the archive as its authors publish it")
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with member.open() as source, target.open("xb") as output:
        while block := source.read(_BLOCK):
            written += len(block)
            if written > member.size:
                raise BadData(file, f"more than {member.size:,} bytes of {target.name}", "as many as the archive says")
            output.write(block)
    if written < member.size:
        raise BadData(file, f"{written:,} bytes of {target.name}", f"{member.size:,}, as the archive says")
    return written
