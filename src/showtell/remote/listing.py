"""Names of objects in storage: those below a prefix, and those that match a pattern; in order, and page by page.

S3 and Google's storage list in the order of the names' UTF-8 bytes, a thousand per request, and go on from a token, so
that memory does not grow with the number of objects. Any other storage is listed folder by folder; a folder's names are
in memory then.

Rejected: fsspec's `find`, `walk` and `glob`, which collect all names before the first one is given, and keep them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from showtell.remote.client import call
from showtell.urls import path_of_url, scheme_of

_MAGIC: Final = re.compile(r"[*?[]")


class Entry(NamedTuple):
    """An object or, with `size` None, a folder: a common beginning of names up to a slash."""

    url: str
    """Of a folder, with a slash at the end."""
    size: int | None

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]


def is_pattern(text: str) -> bool:
    """Whether there are wildcards in it: * ? [abc] and, for any number of folders, **."""
    return _MAGIC.search(text) is not None


def objects_below(folder: str) -> Iterator[Entry]:
    """All objects whose URL begins with `folder`, which ends with a slash. Raises BadImage, BadConfig."""
    if scheme_of(folder) in _PAGES:
        yield from _paged(folder, "")
        return
    for entry in _level(folder, ""):
        if entry.size is None:
            yield from objects_below(entry.url)
        else:
            yield entry


def matching(pattern: str) -> Iterator[Entry]:
    """Objects and folders that match. Only what is below the wildcards is listed. Raises as `objects_below`."""
    scheme, _, path = pattern.partition("://")
    bucket, *parts = path.split("/")
    yield from _matching(f"{scheme}://{bucket}/", parts)


def _matching(folder: str, parts: list[str]) -> Iterator[Entry]:
    first, rest = parts[0], parts[1:]
    while rest and not is_pattern(first):
        folder, first, rest = f"{folder}{first}/", rest[0], rest[1:]
    if first == "**":
        regex = _regex("/".join(parts[len(parts) - len(rest) - 1 :]))
        for entry in objects_below(folder):
            if regex.fullmatch(entry.url[len(folder) :]):
                yield entry
        return
    regex = _regex(first)
    magic = _MAGIC.search(first)
    for entry in _level(folder, first[: magic.start()] if magic else first):
        if regex.fullmatch(entry.name):
            if not rest:
                yield entry
            elif entry.size is None:
                yield from _matching(entry.url, rest)


def _regex(pattern: str) -> re.Pattern[str]:
    """A slash is matched by ** alone; `[` without its end is itself."""
    tokens = {"**/": "(?:.+/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\])", pattern)

    def translated(part: str) -> str:
        if part.startswith("[") and part.endswith("]") and len(part) > 2:
            inner = part[1:-1].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
            return f"[^/{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
        return tokens.get(part, re.escape(part))

    return re.compile("".join(map(translated, parts)), re.DOTALL)


def _level(folder: str, stem: str) -> Iterator[Entry]:
    """Objects and folders in `folder` itself whose names begin with `stem`."""
    if scheme_of(folder) in _PAGES:
        yield from _paged(folder + stem, "/")
        return
    prefix = folder[: folder.index("://") + 3]
    found: list[dict[str, Any]] = call(folder, lambda client, path: client.ls(path.rstrip("/"), detail=True))
    for info in sorted(found, key=lambda info: str(info["name"])):
        url = prefix + str(info["name"]).strip("/")
        is_folder = info["type"] == "directory"
        if url.startswith(folder + stem):
            yield Entry(url + "/" if is_folder else url, None if is_folder else int(info["size"] or 0))


def _paged(prefix: str, delimiter: str) -> Iterator[Entry]:
    bucket, _, key = path_of_url(prefix).partition("/")
    pages = _PAGES[scheme_of(prefix)]
    start = f"{scheme_of(prefix)}://{bucket}/"
    token: str | None = None
    while True:
        page, token = call(prefix, lambda client, _, token=token: pages(client, bucket, key, delimiter, token))  # type: ignore[misc]
        for name, size in sorted(page):
            if not (size is not None and name.endswith("/")):  # an empty object in place of a folder
                yield Entry(start + name, size)
        if not token:
            return


Page = tuple[list[tuple[str, "int | None"]], "str | None"]
"""Names with sizes, and the token of the next page."""


def _s3_page(client: Any, bucket: str, prefix: str, delimiter: str, token: str | None) -> Page:
    more = {"ContinuationToken": token} if token else {}
    page = client.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter=delimiter, **client.req_kw, **more)
    files = [(str(item["Key"]), int(item["Size"])) for item in page.get("Contents", ())]
    folders = [(str(item["Prefix"]), None) for item in page.get("CommonPrefixes", ())]
    return [*files, *folders], page["NextContinuationToken"] if page.get("IsTruncated") else None


def _gs_page(client: Any, bucket: str, prefix: str, delimiter: str, token: str | None) -> Page:
    more = {"pageToken": token} if token else {}
    fields = "nextPageToken,prefixes,items(name,size)"
    parameters = {"prefix": prefix, "delimiter": delimiter, "maxResults": 1000, "fields": fields, **more}
    page = client.call("GET", "b/{}/o", bucket, json_out=True, **parameters)
    files = [(str(item["name"]), int(item["size"])) for item in page.get("items", ())]
    return [*files, *((str(name), None) for name in page.get("prefixes", ()))], page.get("nextPageToken")


_PAGES: Final = {"s3": _s3_page, "s3a": _s3_page, "gs": _gs_page, "gcs": _gs_page}
