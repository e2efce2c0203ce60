"""Pictures that are the same: files equal byte for byte, and copies that were encoded or resized anew.

A copy of a training photo in dev or test makes scores too good, so that copies are looked for across splits. Each photo
leaves 16 x 16 grey cells and a difference hash: for 8 rows of 9 means, 64 bits that say where it becomes lighter from
one to the next. Equal photos have nearly equal hashes, and the cells confirm it.

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
MOST_BITS: Final = 10
"""Bits in which the hashes of a photo and its copy may differ. Seven or fewer are always found, see `_Index`."""
MOST_GREY: Final = 12
"""Levels of grey, of 255, by which a cell of a copy may differ."""
BANDS: Final = range(0, 64, 16)


@dataclass(frozen=True, slots=True)
class Look:
    """What is remembered of a photo: half a kilobyte."""

    name: str
    split: str
    digest: str
    """Of the file; of the pixels, where there is no file of its own."""
    bits: int
    cells: bytes


def look_at(name: str, split: str, image: Image.Image, file: Path | None) -> Look:
    digest = hashlib.sha256(image.tobytes()).hexdigest() if file is None else sha256(file)
    # Not BOX: where the size is no multiple of 16, it gives whole pixels to one cell or the other, and copies differ.
    cells = image.convert("L").resize((SIDE, SIDE), Image.Resampling.HAMMING)
    return Look(name, split, digest, _difference_hash(cells), cells.tobytes())


def identical(looks: Iterable[Look]) -> list[tuple[str, ...]]:
    """Names of the photos that are equal byte for byte."""
    names: dict[str, list[str]] = defaultdict(list)
    for look in looks:
        names[look.digest].append(look.name)
    return [tuple(each) for each in names.values() if len(each) > 1]


def alike(looks: Iterable[Look]) -> Iterator[tuple[Look, Look]]:
    """Pairs in different splits with nearly the same pixels, those that are equal byte for byte left out."""
    indexes: dict[str, _Index] = defaultdict(_Index)
    for look in looks:
        for split, index in indexes.items():
            if split != look.split:
                yield from ((other, look) for other in index.near(look) if _is_copy(other, look))
        indexes[look.split].add(look)


class _Index:
    """Finds near hashes without comparing all pairs: of four bands of 16 bits, one at least differs in one bit or none
    when at most seven bits differ in all."""

    def __init__(self) -> None:
        self._tables: tuple[dict[int, list[Look]], ...] = tuple(defaultdict(list) for _ in BANDS)

    def add(self, look: Look) -> None:
        for band, table in zip(BANDS, self._tables, strict=True):
            table[look.bits >> band & 0xFFFF].append(look)

    def near(self, look: Look) -> list[Look]:
        """In the order in which they were added to the tables, each once."""
        found: dict[str, Look] = {}
        for band, table in zip(BANDS, self._tables, strict=True):
            key = look.bits >> band & 0xFFFF
            for probe in (key, *(key ^ 1 << bit for bit in range(16))):
                for other in table.get(probe, ()):
                    if (other.bits ^ look.bits).bit_count() <= MOST_BITS:
                        found[other.name] = other
        return list(found.values())


def _is_copy(one: Look, other: Look) -> bool:
    if one.digest == other.digest:
        return False
    return all(abs(a - b) <= MOST_GREY for a, b in zip(one.cells, other.cells, strict=True))


def _difference_hash(cells: Image.Image) -> int:
    means = cells.resize((9, 8), Image.Resampling.HAMMING).tobytes()
    bits = 0
    for at in range(len(means)):
        if at % 9:
            bits = bits << 1 | (means[at] > means[at - 1])
    return bits
