"""Which inputs are still to be done: the inputs of now beside those that the ledger has.

As long as both are in the same order they are read side by side, so that memory does not depend on their number. From
the first difference on (photos came, went or changed places) the rest of the ledger is held in memory. Rejected: the
keys of all that is done in a set, which for 100 million photos is more than the machine has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from showtell.bulk.ledger import Entry
from showtell.core.sources import ImageInput


class Matching:
    """Iterates over the inputs, each with its entry in the ledger, or None. An input that comes twice has two."""

    def __init__(self, images: Iterable[ImageInput], entries: Iterator[Entry]) -> None:
        self._images, self._entries = images, entries
        self._rest: dict[str, deque[Entry]] | None = None
        self.seen = 0
        self.gone = 0
        """Entries whose inputs are not there any more; known at the end."""

    def __iter__(self) -> Iterator[tuple[ImageInput, Entry | None]]:
        for image in self._images:
            self.seen += 1
            yield image, self._entry_of(image.path)
        if self._rest is None:
            self.gone = sum(1 for _ in self._entries)
        else:
            self.gone = sum(map(len, self._rest.values()))

    def _entry_of(self, key: str) -> Entry | None:
        if self._rest is None:
            entry = next(self._entries, None)
            if entry is not None and entry.key == key:
                return entry
            self._rest = {}
            while entry is not None:
                self._rest.setdefault(entry.key, deque()).append(entry)
                entry = next(self._entries, None)
        waiting = self._rest.get(key)
        if not waiting:
            return None
        entry = waiting.popleft()
        if not waiting:
            del self._rest[key]
        return entry
