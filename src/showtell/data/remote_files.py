"""Files of data in object storage and on web servers: which ones a pattern names, and errors in the words of data.

All of this raises BadData for what is not there or makes no sense, StorageUnreachable for what cannot be read now, and
BadConfig without credentials.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from showtell.errors import BadData, BadImage, StorageUnreachable
from showtell.remote.client import ObjectStatus
from showtell.remote.listing import is_pattern, matching
from showtell.remote.opened import current_status
from showtell.urls import is_stored, path_of_url, without_secrets


def find_objects(pattern: str, example: str) -> list[str]:
    """The URLs that a pattern without braces names, in order. Wildcards are those of object storage. `example`: what to
    put behind a folder."""
    if pattern.endswith("/"):
        raise BadData(without_secrets(pattern), "a folder", f"files, such as {without_secrets(pattern)}{example}")
    if not (is_stored(pattern) and is_pattern(path_of_url(pattern))):
        return [pattern]
    with as_data(pattern):
        urls = [entry.url for entry in matching(pattern) if entry.size is not None]
    if not urls:
        raise BadData(pattern, "no such objects", f"files such as {example}")
    return urls


def ranged_status(url: str) -> ObjectStatus:
    """Size and version of a file of which parts can be read."""
    name = without_secrets(url)
    with as_data(name):
        status = current_status(url)
    if status is None:
        raise BadData(name, "a server that gives no ranges of bytes", "one that does; else download it")
    return status


@contextlib.contextmanager
def as_data(name: object) -> Iterator[None]:
    """Errors of a photo's request, as those of the data in the file `name`."""
    try:
        yield
    except BadImage as error:
        if error.code == "url_failed":
            raise StorageUnreachable(f"{name}: {error.detail}; the same command goes on") from error
        raise BadData(name, f"nothing that can be read ({error.detail})", "a file of data") from error
