"""A hash table of numbers for whole arrays of questions: no Python per number, and one look into memory for most.

Open addressing with linear probing and Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4). Rejected:
`np.searchsorted`, whose twenty steps through memory made the reward of a batch several times as slow.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_NO_KEY: Final = 2**64 - 1


class KeyTable:
    """Says where in a list of different numbers a number stands."""

    def __init__(self, keys: Keys) -> None:
        """`keys` `[G]`: all different, all below 2**64 - 1."""
        bits = (4 * len(keys) + 1).bit_length()  # an eighth to a quarter of the slots are taken
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self._keys = np.append(keys, np.uint64(_NO_KEY))
        self.absent = len(keys)
        self._slots = np.full(1 << bits, self.absent, np.uint32 if len(keys) < 2**32 else np.int64)
        waiting = np.arange(len(keys))
        slot = self._first_slot(keys)
        while len(waiting):
            free = self._slots[slot] == self.absent
            self._slots[slot[free]] = waiting[free]  # of several that want a slot, one gets it
            homeless = self._slots[slot] != waiting
            waiting, slot = waiting[homeless], slot[homeless] + 1 & self._mask

    def find(self, keys: Keys) -> Integers:
        """The place of each, `[E]`; `absent`, which is G, for what is not in the list."""
        slot = self._first_slot(keys)
        place = self._slots[slot].astype(np.int64)
        wrong = np.flatnonzero((self._keys[place] != keys) & (place != self.absent))
        while len(wrong):
            slot[wrong] = slot[wrong] + 1 & self._mask
            place[wrong] = self._slots[slot[wrong]]
            wrong = wrong[(self._keys[place[wrong]] != keys[wrong]) & (place[wrong] != self.absent)]
        return place

    def _first_slot(self, keys: Keys) -> Integers:
        slot: Integers = (keys * _GOLDEN >> self._shift).astype(np.int64)
        return slot
