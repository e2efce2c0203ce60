"""Duplicate images: files equal byte for byte, and copies that were encoded or resized anew.

A copy of a training photo in dev or test inflates scores, so near duplicates are searched across splits. The
fingerprint of a photo is 16 x 16 grey cells and a difference hash (dHash): 8 rows of 9 means, a bit for each mean
lighter than the one before. Near hashes are candidates, and the cells confirm them.

The limits were measured on 7,000 photos of Flickr8k and copies of 500 of them: JPEG at quality 10 to 60, WebP at 50,
40 to 448 pixels wide, another aspect ratio. No cell of a copy changed by more than 8 of 255; the hash of one in 200 at
most is too far away. Among all pairs of different photos the nearest differ by 44 in some cell, those with near hashes
by 63. Rejected: the mean over the cells, by which a drawing whose one small thing has moved is a copy. A copy that was
cropped, even by 2 %, mirrored or made much darker is not found.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from showtell.files import sha256

SIDE: Final = 16
"""Cells in each direction."""
MAX_HAMMING_DISTANCE: Final = 10
"""Bits in which the hashes of a photo and its copy may differ. Seven or fewer are always found, see `_HashIndex`."""
MAX_GREY_DIFFERENCE: Final = 12
"""Levels of grey, of 255, by which a cell of a copy may differ."""
BANDS: Final = range(0, 64, 16)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of a photo: half a kilobyte."""

    name: str
    split: str
    digest: str
    """SHA-256 of the file, or of the pixels where the photo has no file of its own."""
    dhash: int
    cells: bytes


def fingerprint(name: str, split: str, image: Image.Image, file: Path | None) -> Fingerprint:
    digest = hashlib.sha256(image.tobytes()).hexdigest() if file is None else sha256(file)
    # Not BOX: where the size is no multiple of 16, it gives whole pixels to one cell or the other, and copies differ.
    cells = image.convert("L").resize((SIDE, SIDE), Image.Resampling.HAMMING)
    return Fingerprint(name, split, digest, _dhash(cells), cells.tobytes())


def exact_duplicates(fingerprints: Iterable[Fingerprint]) -> list[tuple[str, ...]]:
    """Names of the photos that are equal byte for byte."""
    names: dict[str, list[str]] = defaultdict(list)
    for item in fingerprints:
        names[item.digest].append(item.name)
    return [tuple(group) for group in names.values() if len(group) > 1]


def near_duplicates(fingerprints: Iterable[Fingerprint]) -> Iterator[tuple[Fingerprint, Fingerprint]]:
    """Pairs in different splits with nearly the same pixels, without exact duplicates."""
    indexes: dict[str, _HashIndex] = defaultdict(_HashIndex)
    for item in fingerprints:
        for split, index in indexes.items():
            if split != item.split:
                yield from ((other, item) for other in index.near(item) if _is_copy(other, item))
        indexes[item.split].add(item)


class _HashIndex:
    """Finds near hashes without comparing all pairs: when at most seven bits differ, some band of 16 bits differs
    in at most one."""

    def __init__(self) -> None:
        self._tables: tuple[dict[int, list[Fingerprint]], ...] = tuple(defaultdict(list) for _ in BANDS)

    def add(self, item: Fingerprint) -> None:
        for band, table in zip(BANDS, self._tables, strict=True):
            table[item.dhash >> band & 0xFFFF].append(item)

    def near(self, item: Fingerprint) -> list[Fingerprint]:
        """Without repeats, in the order of the tables."""
        candidates: dict[str, Fingerprint] = {}
        for band, table in zip(BANDS, self._tables, strict=True):
            key = item.dhash >> band & 0xFFFF
            for probe in (key, *(key ^ 1 << bit for bit in range(16))):
                for other in table.get(probe, ()):
                    if (other.dhash ^ item.dhash).bit_count() <= MAX_HAMMING_DISTANCE:
                        candidates[other.name] = other
        return list(candidates.values())


def _is_copy(one: Fingerprint, other: Fingerprint) -> bool:
    if one.digest == other.digest:
        return False
    return all(abs(a - b) <= MAX_GREY_DIFFERENCE for a, b in zip(one.cells, other.cells, strict=True))


def _dhash(cells: Image.Image) -> int:
    means = cells.resize((9, 8), Image.Resampling.HAMMING).tobytes()
    bits = 0
    for index in range(len(means)):
        if index % 9:
            bits = bits << 1 | (means[index] > means[index - 1])
    return bits
