"""Files of data in object storage and on web servers: which ones a pattern names, and errors in the words of data.

All of this raises BadData for what is not there or makes no sense, StorageUnreachable for what cannot be read now, and
BadConfig without credentials.

Rejected: signed URLs. A data spec is kept in run folders, model cards and reports, where a signature is given away; and
a run with a new signature would be another run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from showtell.errors import BadData, BadImage, StorageUnreachable
from showtell.remote.client import ObjectStatus
from showtell.remote.listing import is_pattern, matching
from showtell.remote.opened import current_status
from showtell.urls import STORAGE_SCHEMES, is_stored, is_web, path_of_url, scheme_of, without_secrets

_SCHEMES: Final = (*sorted(STORAGE_SCHEMES), "https", "http")


def find_objects(pattern: str, example: str) -> list[str]:
    """The URLs that a pattern without braces names, in order. Wildcards are those of object storage, and match no
    hidden names. `example`: what to put behind a folder."""
    if not (is_stored(pattern) or is_web(pattern)):
        raise BadData(scheme_of(pattern) + "://", "no storage that is read", f"one of: {', '.join(_SCHEMES)}")
    if pattern != (shown := without_secrets(pattern)):
        raise BadData(
            shown, "a query or a password in the URL", "none: it would be kept with the run; use s3:// or gs://"
        )
    if pattern.endswith("/"):
        raise BadData(pattern, "a folder", f"files, such as {pattern}{example}")
    if not (is_stored(pattern) and is_pattern(path_of_url(pattern))):
        return [pattern]
    with as_data(pattern):
        urls = [entry.url for entry in matching(pattern) if entry.size is not None and not entry.name.startswith(".")]
    if not urls:
        raise BadData(pattern, "no such objects", f"files such as {example}")
    return urls


def ranged_status(url: str) -> ObjectStatus:
    """Size and version of a file of which parts can be read."""
    with as_data(url):
        status = current_status(url)
    if status is None:
        raise BadData(url, "a server that gives no ranges of bytes", "one that does; else download it")
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
