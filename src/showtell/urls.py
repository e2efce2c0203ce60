"""URLs as text: nothing is requested here."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_URL: Final = re.compile("[a-z][a-z0-9+.-]+://", re.IGNORECASE)  # two letters or more: C:// is a drive
STORAGE_SCHEMES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory"})
"""Of object storage. Not `file` (a path does), nor all that fsspec knows: `github`, `ftp` or `reference` would be read
with other rules than a user expects of a photo's address."""


def is_url(path: str) -> bool:
    """Whether it is a URL of any scheme; a folder that is called so can still be named as `./http:/...`."""
    return _URL.match(path) is not None


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()


def is_stored(name: str) -> bool:
    """Whether it is the URL of an object, or of many, in object storage."""
    return is_url(name) and scheme_of(name) in STORAGE_SCHEMES


def path_of_url(url: str) -> str:
    """As fsspec has it: bucket and key; of http, the URL itself."""
    return url if is_web(url) else url.partition("://")[2]


def is_web(url: str) -> bool:
    return scheme_of(url) in ("http", "https")


def without_secrets(url: str) -> str:
    """Of a web server without its query, which may be a signature that changes from day to day, and without user and
    password."""
    if not is_web(url):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
