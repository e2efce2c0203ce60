"""Shards in object storage and on web servers.

    pattern -> URLs -> the index of each, from the cache or by reading the shard once -> photos by ranges of bytes

The headers of a tar are spread over it, so that nearly all of it travels to make the index; that is kept in the cache,
for the version of the object that it was made from, and another start of the same command reads it there. An
interrupted first start goes on after the last whole shard.

Rejected: reading shards as streams in every epoch, as WebDataset does. A photo's place in the order of an epoch would
depend on the shards that are open, and resuming in the middle of an epoch on reading them again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any, Final

from showtell.cache_folder import cache_folder
from showtell.data.remote_files import as_data, ranged_status
from showtell.data.shard_index import ShardIndex, Stretch, scan
from showtell.errors import OutputError
from showtell.files import write_text
from showtell.remote.client import ObjectStatus
from showtell.remote.opened import OpenedObject, open_url

_FORMAT: Final = 1


def remote_index(url: str) -> tuple[ShardIndex, ObjectStatus]:
    """The index of a shard, and the version that it is of. Raises as `remote_files`."""
    status = ranged_status(url)
    kept = cache_folder() / "shards" / f"{hashlib.sha256(url.encode()).hexdigest()[:24]}.json"
    # Without a version the size alone would tell, and sizes of tars are multiples of 10 KiB.
    index = _read(kept, status) if status.version else None
    if index is None:
        with as_data(url), open_url(url) as file:
            index = scan(url, file)
            status = file.status if isinstance(file, OpenedObject) else status
        # A disk that is full or read-only costs time at the next start, and nothing else.
        with contextlib.suppress(OutputError, OSError):
            if status.version:
                _write(kept, url, index, status)
    return index, status


def _read(kept: Path, status: ObjectStatus) -> ShardIndex | None:
    """None where there is none of this version."""
    try:
        raw: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if (raw["format"], raw["size"], tuple(raw["version"])) != (_FORMAT, status.size, status.version):
            return None
        photos = {key: Stretch(*stretch) for key, stretch in raw["photos"].items()}
        texts = {key: {s: text.encode("latin-1") for s, text in of.items()} for key, of in raw["texts"].items()}
        return ShardIndex(photos, texts, list(raw["undecoded"]), int(raw["hidden"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # missing, damaged, of another version
        return None


def _write(kept: Path, name: str, index: ShardIndex, status: ObjectStatus) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Latin-1 has a character for each byte: the encoding of a text is found out later, as in a local shard.
    texts = {key: {s: text.decode("latin-1") for s, text in of.items()} for key, of in index.texts.items()}
    raw = {"format": _FORMAT, "shard": name, "size": status.size, "version": status.version}
    raw |= {"photos": index.photos, "texts": texts, "undecoded": index.undecoded, "hidden": index.hidden}
    write_text(kept, json.dumps(raw))
