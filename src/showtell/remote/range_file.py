"""A file that is read by ranges of bytes, in blocks, the next of them ahead.

    read -> block in memory? -> else fetched; after a block that followed the last one, the next is fetched meanwhile

Rejected: fsspec's files. Their caches fetch without the retries and without the check of the version that a block needs
here, and keep 32 blocks.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

BLOCK: Final = 8 * 1024 * 1024
"""Bytes per request: a request takes as long as a megabyte or two, and costs by the number."""
_KEPT: Final = 2
"""Blocks, beside the one that is fetched ahead; a header may lie in two."""

Fetch = Callable[[int, int], bytes]
"""The bytes from a start to an end, all of them. Called by two threads, never for the same block."""


class RangeFile(io.RawIOBase):
    """Of `size` bytes. What `fetch` raises, reading raises."""

    def __init__(self, size: int, fetch: Fetch, block: int = BLOCK) -> None:
        self._size, self._fetch, self._block = size, fetch, block
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._ahead: tuple[int, Future[bytes]] | None = None
        self._last = -1
        self._threads = ThreadPoolExecutor(1, "showtell-read-ahead")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        if self._position >= self._size or not target:
            return 0
        number, start = divmod(self._position, self._block)
        part = memoryview(self._get(number))[start : start + len(target)]
        target[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._blocks.clear()
        super().close()

    def _get(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        ahead, self._ahead = self._ahead, None
        data = ahead[1].result() if ahead is not None and ahead[0] == number else self._load(number)
        self._blocks[number] = data
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        if number == self._last + 1 and (number + 1) * self._block < self._size:
            self._ahead = number + 1, self._threads.submit(self._load, number + 1)
        self._last = number
        return data

    def _load(self, number: int) -> bytes:
        start = number * self._block
        return self._fetch(start, min(start + self._block, self._size))
