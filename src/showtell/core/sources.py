"""What a user names on the command line, made a stream of image files.

Lazy, and of constant memory whatever the folders hold: a folder is read in rounds, each of which keeps the next few
thousand names in order. (`sorted(os.scandir(...))` would hold a million names before the first caption.)
"""

import heapq
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from showtell.errors import BadConfig, BadImage

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")
NAMES_PER_ROUND: Final = 20_000
_URL: Final = re.compile("[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters or more: C:// is a drive


@dataclass(frozen=True)
class Found:
    """One file to caption or, with `error`, one place where none could be found."""

    path: str
    """As the user wrote it; below a folder, the folder as written and the way from there."""
    error: BadImage | None = None
    read: Callable[[], bytes] | None = field(default=None, compare=False)
    """Gives the image where `path` is no file's but, say, a URL; called in a loader's thread, may raise BadImage."""


class _Entry(NamedTuple):
    name: str
    path: str
    is_folder: bool


def find_images(inputs: Iterable[str], stdin: TextIO | None = None) -> Iterator[Found]:
    """Yields the files that `inputs` name, in order and as often as they are named.

    A folder gives the images in it and below it, sorted by name, without hidden files and folders; symbolic links are
    followed, but each folder is entered once. `-` reads one path per line from `stdin`. A named file is yielded
    whatever its suffix and whether or not it exists: `load_image` says what is wrong with it. So is a URL (`is_url`).

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


def _expand(path: str) -> Iterator[Found]:
    # Not `Path`: to it an empty line is the current folder.
    if is_url(path) or not os.path.isdir(path):  # noqa: PTH112
        yield Found(path)
        return
    found = None
    for found in _walk(path):
        yield found
    if found is None:
        yield Found(path, BadImage("missing", "no images in this folder"))


def _walk(top: str) -> Iterator[Found]:
    entered = {_identity(top)}
    # A stack and not recursion: folders may be nested deeper than Python likes to call.
    open_folders = [(top, _entries(top))]
    while open_folders:
        folder, entries = open_folders[-1]
        try:
            entry = next(entries, None)
        except OSError as error:
            open_folders.pop()
            yield Found(folder, _unreadable(error))
            continue
        if entry is None:
            open_folders.pop()
        elif not entry.is_folder:
            yield Found(entry.path)
        elif (identity := _identity(entry.path)) not in entered:
            entered.add(identity)
            open_folders.append((entry.path, _entries(entry.path)))


def _entries(folder: str) -> Iterator[_Entry]:
    """Images and folders in `folder`, sorted by name. Raises OSError, at any point, when it cannot be read."""
    last = ""
    while True:
        with os.scandir(folder) as entries:
            later = (e for e in entries if e.name > last and not e.name.startswith("."))
            named = (_Entry(e.name, e.path, _is_folder(e)) for e in later)
            wanted = (e for e in named if e.is_folder or e.name.lower().endswith(IMAGE_SUFFIXES))
            batch = heapq.nsmallest(NAMES_PER_ROUND, wanted)
        yield from batch
        if len(batch) < NAMES_PER_ROUND:
            return
        last = batch[-1].name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads in a circle, or where we may not look. As a file with an image's suffix it gets its row.
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
