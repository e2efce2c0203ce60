"""A hash table of numbers for whole arrays of questions: no Python per number, and one look into memory for most.

Open addressing with linear probing (Knuth, The Art of Computer Programming 3, 6.4). As every further probe is a step
for the whole array, however few numbers still need it, places are spent freely and hashes are mixed well. Rejected:
`np.searchsorted`, whose twenty steps through memory made the reward of a batch twice as slow.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from showtell.metrics.ngrams import Integers

Keys = npt.NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_NO_KEY: Final = np.uint64(2**64 - 1)


class KeyTable:
    """Gives each of many numbers a place of its own, and finds it again."""

    def __init__(self, keys: Keys) -> None:
        """`keys` below 2**64 - 1; repetitions are one key."""
        bits = (8 * len(keys) + 1).bit_length()  # a sixteenth to an eighth of the places are taken
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self.absent = 1 << bits
        """The place of what is no key; all others are below."""
        # The key stands at its place, and nothing points to it, so that one look into memory is enough.
        self._keys = np.full(self.absent + 1, _NO_KEY, np.uint64)
        place = self._first_place(keys)
        while len(keys):
            free = self._keys[place] == _NO_KEY
            self._keys[place[free]] = keys[free]  # of several that want a place, one gets it
            homeless = self._keys[place] != keys
            keys, place = keys[homeless], place[homeless] + 1 & self._mask

    def find(self, keys: Keys) -> Integers:
        """The place of each, `[E]`, or `absent`."""
        place = self._first_place(keys)
        there = self._keys[place]
        wrong = np.flatnonzero(there != keys)
        while len(wrong):
            empty = there[wrong] == _NO_KEY
            place[wrong[empty]] = self.absent
            wrong = wrong[~empty]
            place[wrong] = place[wrong] + 1 & self._mask
            there[wrong] = self._keys[place[wrong]]
            wrong = wrong[there[wrong] != keys[wrong]]
        return place

    def _first_place(self, keys: Keys) -> Integers:
        mixed = keys * _GOLDEN
        mixed = (mixed ^ mixed >> np.uint64(32)) * _GOLDEN  # once is not enough: packed words differ in a few bits
        place: Integers = (mixed >> self._shift).astype(np.int64)
        return place
