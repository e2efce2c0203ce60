"""Containers on web servers: their size and version, and whether the server gives ranges of bytes.

Rejected: the HEAD request of fsspec. Signed URLs are often valid for GET alone, and few servers say in its response
that they give ranges.
"""

from __future__ import annotations

from typing import Any, Final

from showtell.errors import BadImage
from showtell.remote.client import ObjectStatus, call

WHOLE: Final = 64 * 1024 * 1024
"""Bytes that are read at once where the server gives no ranges."""
_HEADERS: Final = {"Accept-Encoding": "identity"}


def probe(url: str) -> ObjectStatus | None:
    """None where the server gives no ranges. Raises BadImage."""
    status: ObjectStatus | None = call(url, lambda client, path: _run(client, _probe(client, path)))
    return status


def read_whole(url: str) -> bytes:
    """Raises BadImage, `too_large` above WHOLE."""
    data: bytes = call(url, lambda client, path: _run(client, _read_whole(client, path)))
    if len(data) > WHOLE:
        limit = f"{WHOLE // 2**20} MiB"
        raise BadImage("too_large", f"found more than {limit} on a server that gives no byte ranges; download it first")
    return data


def _run(client: Any, coroutine: Any) -> Any:
    import fsspec.asyn

    return fsspec.asyn.sync(client.loop, lambda: coroutine)


async def _probe(client: Any, url: str) -> ObjectStatus | None:
    session = await client.set_session()
    async with session.get(client.encode_url(url), headers={**_HEADERS, "Range": "bytes=0-0"}) as response:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status not in (206, 416):
            response.raise_for_status()
        if response.status == 200 or not size.isdigit():
            return None
        version = (response.headers.get(name) for name in ("ETag", "Last-Modified"))
        return ObjectStatus(int(size), tuple(value for value in version if value))


async def _read_whole(client: Any, url: str) -> bytes:
    session = await client.set_session()
    async with session.get(client.encode_url(url), headers=_HEADERS) as response:
        response.raise_for_status()
        data = bytearray()
        async for chunk in response.content.iter_chunked(1 << 18):
            data += chunk
            if len(data) > WHOLE:
                break
        return bytes(data)
