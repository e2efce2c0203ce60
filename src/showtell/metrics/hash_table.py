"""A hash table from integers to slots, for whole arrays of keys at a time: no Python code per key.

Open addressing with linear probing (Knuth, The Art of Computer Programming 3, 6.4). Every further probe is a step for
the whole array, however few keys still need it, so the load factor is low and keys are mixed well: most lookups read
memory once. Rejected: `np.searchsorted`, whose twenty steps through memory made the reward of a batch twice as slow.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from showtell.metrics.ngrams import Integers

Keys = npt.NDArray[np.uint64]

_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
"""2**64 / golden ratio (Fibonacci hashing)."""
_EMPTY: Final = np.uint64(2**64 - 1)


class HashTable:
    """Assigns each distinct key a slot, and finds it again."""

    def __init__(self, keys: Keys) -> None:
        """`keys` must be below 2**64 - 1; duplicates are one key."""
        bits = (8 * len(keys) + 1).bit_length()  # load factor 1/16 to 1/8
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self.absent = 1 << bits
        """The slot of unknown keys; all other slots are below."""
        # Keys are stored in the slots themselves, without a level of indices, so that one memory access is enough.
        self._keys = np.full(self.absent + 1, _EMPTY, np.uint64)
        slots = self._home_slots(keys)
        while len(keys):
            free = self._keys[slots] == _EMPTY
            self._keys[slots[free]] = keys[free]  # of several keys that claim a slot, one gets it
            unplaced = self._keys[slots] != keys
            keys, slots = keys[unplaced], slots[unplaced] + 1 & self._mask

    def find(self, keys: Keys) -> Integers:
        """Slot of each key, or `absent`, `[E]`."""
        slots = self._home_slots(keys)
        stored = self._keys[slots]
        pending = np.flatnonzero(stored != keys)
        while len(pending):
            empty = stored[pending] == _EMPTY
            slots[pending[empty]] = self.absent
            pending = pending[~empty]
            slots[pending] = slots[pending] + 1 & self._mask
            stored[pending] = self._keys[slots[pending]]
            pending = pending[stored[pending] != keys[pending]]
        return slots

    def _home_slots(self, keys: Keys) -> Integers:
        mixed = keys * _MULTIPLIER
        # Multiplying once is not enough: packed n-grams differ in a few bits.
        mixed = (mixed ^ mixed >> np.uint64(32)) * _MULTIPLIER
        slots: Integers = (mixed >> self._shift).astype(np.int64)
        return slots
