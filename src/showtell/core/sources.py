"""Files, folders and URLs of the command line, expanded to a stream of image files.

Lazy, and in constant memory: a folder is read in rounds, each of which keeps the next few thousand names in order.
Rejected: `sorted(os.scandir(...))`, which would hold a million names before the first caption.
"""

import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Final, NamedTuple

from showtell.core.standard_input import read_standard_input
from showtell.errors import BadConfig, BadImage
from showtell.folder_scan import OTHER, REPEATED, PassedOver, check_file, is_other, skip_reason, unreadable
from showtell.urls import is_url

NAMES_PER_ROUND: Final = 20_000


@dataclass(frozen=True)
class ImageInput:
    """One image to caption or, with `error`, a path without one."""

    path: str
    """As the user wrote it; in a folder, the folder as written and the path below it."""
    error: BadImage | None = None
    read: Callable[[], bytes] | None = field(default=None, compare=False)
    """Reads the image where `path` is no file but, say, a URL; called in a loader thread, may raise BadImage."""
    file: str | None = None
    """The image's file, where `path` is another name of it, such as that in a table."""


class _FolderEntry(NamedTuple):
    name: str
    path: str
    is_folder: bool


def find_images(
    inputs: Iterable[str],
    stdin: BufferedIOBase | None = None,
    *,
    null_separated: bool = False,
    passed_over: PassedOver | None = None,
) -> Iterator[ImageInput]:
    """Yields the files that `inputs` name, in order and as often as they are named.

    A folder gives the images in it and below it, sorted by name; symbolic links are followed, but each folder is
    entered once. Pictures of a format that is not decoded come with the error `unsupported`; what is left out on
    purpose (`folder_scan`) is counted in `passed_over`. A named file is yielded whatever its name and whether or not it
    exists: `load_image` reports problems. So is a URL (`is_url`).

    `-` reads paths from `stdin`, one per line or, with `null_separated`, ending in NUL; or one image, yielded as `-`.

    A folder that cannot be read comes with an error `unreadable`, a named folder without images with `missing`, an
    empty `stdin` with `empty`. Raises BadConfig when `-` is given without a `stdin`.
    """
    counter = PassedOver() if passed_over is None else passed_over
    for name in inputs:
        if name != "-":
            yield from _expand(name, counter)
        elif stdin is None:
            raise BadConfig("found - for paths on standard input; expected files or folders, there is no input here")
        else:
            try:
                yield from _expand_standard_input(stdin, null_separated, counter)
            except BadImage as error:
                yield ImageInput(name, error)


def _expand_standard_input(stdin: BufferedIOBase, null_separated: bool, counter: PassedOver) -> Iterator[ImageInput]:
    content = read_standard_input(stdin, null_separated)
    if isinstance(content, bytes):
        yield ImageInput("-", read=lambda: content)
        return
    path = None
    for path in content:
        if isinstance(path, BadImage):
            yield ImageInput("-", path)
        else:
            url = path.strip()  # in a path, blanks are a part of the name
            yield from _expand(url if is_url(url) else path, counter)
    if path is None:
        expected = "an image, or paths, one per line"
        raise BadImage("empty", f"found nothing on standard input; expected {expected}")


def _expand(path: str, counter: PassedOver) -> Iterator[ImageInput]:
    # Not `Path`: to it an empty line is the current folder.
    if is_url(path) or not os.path.isdir(path):  # noqa: PTH112
        yield ImageInput(path)
        return
    image = None
    for image in _walk(path, counter):
        yield image
    if image is None:
        yield ImageInput(path, BadImage("missing", "no images in this folder"))


def _walk(top: str, counter: PassedOver) -> Iterator[ImageInput]:
    entered = {_identity(top)}
    # A stack and not recursion: folders may be nested deeper than Python's recursion limit.
    folder_stack = [(top, _entries(top, counter))]
    while folder_stack:
        folder, entries = folder_stack[-1]
        try:
            entry = next(entries, None)
        except OSError as error:
            folder_stack.pop()
            yield ImageInput(folder, unreadable(error))
            continue
        if entry is None:
            folder_stack.pop()
        elif not entry.is_folder:
            yield from _file(entry.path, counter)
        elif (identity := _identity(entry.path)) not in entered:
            entered.add(identity)
            folder_stack.append((entry.path, _entries(entry.path, counter)))
        else:
            counter.add(REPEATED)


def _entries(folder: str, counter: PassedOver) -> Iterator[_FolderEntry]:
    """What is to be looked at in `folder`, sorted by name. Raises OSError, at any point, when it cannot be read."""
    last = ""
    while True:
        # Each round goes over all names; the first one counts.
        count = PassedOver().add if last else counter.add
        with os.scandir(folder) as entries:
            batch = heapq.nsmallest(NAMES_PER_ROUND, _candidates((e for e in entries if e.name > last), count))
        yield from batch
        if len(batch) < NAMES_PER_ROUND:
            return
        last = batch[-1].name


def _candidates(entries: Iterable[os.DirEntry[str]], count: Callable[[str], None]) -> Iterator[_FolderEntry]:
    for entry in entries:
        if reason := skip_reason(entry.name):
            count(reason)
        elif (is_folder := _is_folder(entry)) or not is_other(entry.name):
            yield _FolderEntry(entry.name, entry.path, is_folder)
        else:
            count(OTHER)


def _file(path: str, counter: PassedOver) -> Iterator[ImageInput]:
    try:
        if check_file(path):
            yield ImageInput(path)
        else:
            counter.add(OTHER)
    except BadImage as error:
        yield ImageInput(path, error)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle or without permission: as a file it is reported.
        return False


def _identity(folder: str) -> tuple[int, int] | str:
    """The same for all links to a folder."""
    try:
        status = Path(folder).stat()
    except OSError:
        return folder
    return status.st_dev, status.st_ino
