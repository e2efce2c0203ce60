"""What a URL of object storage names: an object, all objects below a prefix, or those that match a pattern.

The same rules as in folders (`folder_scan`) say what is a photo, with one difference: a name that says nothing is a
photo, and its bytes decide when it is its turn. A request for the first bytes of each of them, as of files, would take
longer than captioning where all names are hashes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from typing import NamedTuple

from showtell.bulk.stored_image import DoubtfulImage, StoredImage
from showtell.core.image import MAX_BYTES
from showtell.core.image_file import check_bytes
from showtell.core.sources import ImageInput
from showtell.errors import BadImage
from showtell.folder_scan import OTHER, PassedOver, is_other, skip_reason
from showtell.image_formats import format_of_suffix
from showtell.remote.client import status_of
from showtell.remote.listing import Entry, is_pattern, matching, objects_below
from showtell.urls import path_of_url


class NamedObject(NamedTuple):
    """An object that was named, or matches a pattern: a container or a photo."""

    url: str


def expand(
    url: str, passed_over: PassedOver, is_file: Callable[[str], bool], *, patterns: bool
) -> Iterator[ImageInput | NamedObject]:
    """What `url` names, in order, lazily. `is_file`: whether a name is that of a file, so that no request has to find
    out; a list may have a million of them. `patterns`: whether wildcards are such; a name that exists is no pattern.

    Raises BadImage where no more can be listed, BadConfig without credentials.
    """
    path = path_of_url(url)
    if "/" not in path.strip("/") or path.endswith("/"):
        if patterns and is_pattern(path):
            yield from _expand_pattern(url.rstrip("/"), passed_over)
        else:
            yield from _folder(url if url.endswith("/") else url + "/", url, passed_over)
    elif patterns and is_pattern(path) and not _exists(url):
        yield from _expand_pattern(url, passed_over)
    elif is_file(path) or status_of(url) is not None:
        yield NamedObject(url)
    else:
        yield from _folder(url + "/", url, passed_over)


def _expand_pattern(pattern: str, passed_over: PassedOver) -> Iterator[ImageInput | NamedObject]:
    if is_pattern(path_of_url(pattern).partition("/")[0]):
        raise BadImage("missing", "found a wildcard in the name of a bucket; expected it after the first slash")
    entry = None
    for entry in matching(pattern):
        reason = skip_reason(entry.name)
        if reason and not posixpath.basename(pattern).startswith("."):
            passed_over.add(reason)
        elif entry.size is None:
            yield from _folder(entry.url, entry.url, passed_over)
        else:
            yield NamedObject(entry.url)
    if entry is None:
        raise BadImage("missing", "no object matches this pattern; check it, and the bucket")


def _folder(folder: str, name: str, passed_over: PassedOver) -> Iterator[ImageInput]:
    is_empty = True
    for entry in objects_below(folder):
        image = _image(entry, entry.url[len(folder) :], passed_over)
        if image is not None:
            is_empty = False
            yield image
    if is_empty:
        yield ImageInput(name, BadImage("missing", "no images in this folder; check its name and that of the bucket"))


def _image(entry: Entry, below: str, passed_over: PassedOver) -> ImageInput | None:
    reason = next(filter(None, map(skip_reason, filter(None, below.split("/")))), None)
    known = format_of_suffix(entry.name)
    if reason is None and (is_other(entry.name) or (known is None and entry.size == 0)):  # such as Spark's _SUCCESS
        reason = OTHER
    if reason is not None:
        passed_over.add(reason)
        return None
    try:
        check_bytes(entry.size or 0, MAX_BYTES)
    except BadImage as error:
        return ImageInput(entry.url, error)
    doubtful = known is not None and not known.is_decoded
    read = DoubtfulImage(entry.url, known.name) if known is not None and doubtful else StoredImage(entry.url)
    return ImageInput(entry.url, read=read)


def _exists(url: str) -> bool:
    try:
        status_of(url)
    except BadImage as error:
        if error.code != "missing":
            raise
        return False
    return True
