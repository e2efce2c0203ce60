"""Files, folders and URLs of the command line, expanded to a stream of image files.

Lazy, and in constant memory: a folder is read in rounds, each of which keeps the next few thousand names in order.
Rejected: `sorted(os.scandir(...))`, which would hold a million names before the first caption.
"""

import heapq
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from showtell.errors import BadConfig, BadImage
from showtell.image_formats import has_image_suffix

NAMES_PER_ROUND: Final = 20_000
_URL: Final = re.compile("[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters or more: C:// is a drive


@dataclass(frozen=True)
class ImageInput:
    """One image to caption or, with `error`, a path without one."""

    path: str
    """As the user wrote it; in a folder, the folder as written and the path below it."""
    error: BadImage | None = None
    read: Callable[[], bytes] | None = field(default=None, compare=False)
    """Reads the image where `path` is no file but, say, a URL; called in a loader thread, may raise BadImage."""


class _FolderEntry(NamedTuple):
    name: str
    path: str
    is_folder: bool


def find_images(inputs: Iterable[str], stdin: TextIO | None = None) -> Iterator[ImageInput]:
    """Yields the files that `inputs` name, in order and as often as they are named.

    A folder gives the images in it and below it, sorted by name, without hidden files and folders; symbolic links are
    followed, but each folder is entered once. `-` reads one path per line from `stdin`. A named file is yielded
    whatever its suffix and whether or not it exists: `load_image` reports problems. So is a URL (`is_url`).

    A folder that cannot be read comes with an error `unreadable`, a named folder without images with `missing`.
    Raises BadConfig when `-` is given without a `stdin`.
    """
    for name in inputs:
        if name != "-":
            yield from _expand(name)
        elif stdin is None:
            raise BadConfig("found - for paths on standard input; expected files or folders, there is no input here")
        else:
            for line in stdin:
                if path := line.rstrip("\r\n"):
                    yield from _expand(path)


def is_url(path: str) -> bool:
    """Whether it is a URL of any scheme; a folder that is called so can still be named as `./http:/...`."""
    return _URL.match(path) is not None


def _expand(path: str) -> Iterator[ImageInput]:
    # Not `Path`: to it an empty line is the current folder.
    if is_url(path) or not os.path.isdir(path):  # noqa: PTH112
        yield ImageInput(path)
        return
    image = None
    for image in _walk(path):
        yield image
    if image is None:
        yield ImageInput(path, BadImage("missing", "no images in this folder"))


def _walk(top: str) -> Iterator[ImageInput]:
    entered = {_identity(top)}
    # A stack and not recursion: folders may be nested deeper than Python's recursion limit.
    folder_stack = [(top, _entries(top))]
    while folder_stack:
        folder, entries = folder_stack[-1]
        try:
            entry = next(entries, None)
        except OSError as error:
            folder_stack.pop()
            yield ImageInput(folder, _unreadable(error))
            continue
        if entry is None:
            folder_stack.pop()
        elif not entry.is_folder:
            yield ImageInput(entry.path)
        elif (identity := _identity(entry.path)) not in entered:
            entered.add(identity)
            folder_stack.append((entry.path, _entries(entry.path)))


def _entries(folder: str) -> Iterator[_FolderEntry]:
    """Images and folders in `folder`, sorted by name. Raises OSError, at any point, when it cannot be read."""
    last = ""
    while True:
        with os.scandir(folder) as entries:
            remaining = (e for e in entries if e.name > last and not e.name.startswith("."))
            candidates = (_FolderEntry(e.name, e.path, _is_folder(e)) for e in remaining)
            images_and_folders = (e for e in candidates if e.is_folder or has_image_suffix(e.name))
            batch = heapq.nsmallest(NAMES_PER_ROUND, images_and_folders)
        yield from batch
        if len(batch) < NAMES_PER_ROUND:
            return
        last = batch[-1].name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle or without permission. With an image's suffix it is yielded as a file.
        return False


def _identity(folder: str) -> tuple[int, int] | str:
    """The same for all links to a folder."""
    try:
        status = Path(folder).stat()
    except OSError:
        return folder
    return status.st_dev, status.st_ino


def _unreadable(error: OSError) -> BadImage:
    reason = BadImage("unreadable", error.strerror or str(error))
    reason.__cause__ = error
    return reason
