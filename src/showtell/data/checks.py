"""What is wrong with a data set, as plain records for a command to print."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from showtell.data.duplicates import Look, alike, identical, look_at
from showtell.data.gather import SPLITS
from showtell.errors import BadImage
from showtell.records import FeatureRow, Sample

MOST_WORDS, MOST_CHARACTERS = 100, 1000
"""The longest caption of Flickr8k has 38 words and 199 characters; more than these is a page that came along."""
THREADS, CHUNK = 4, 256

# Bytes 0x80 to 0xbf, which continue a letter in UTF-8, as Windows-1252 and Latin-1 show them.
_TAIL: Final = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
# Ã© for é, â€™ for an apostrophe; for Arabic and Cyrillic two in a row, since a single Ø or Ñ begins words as well.
# à is Ã and a no-break space, which `files.tidy` made a space; a capital before it, as in MANHÃ, makes it a letter.
MOJIBAKE: Final = re.compile(rf"[ÂÃ]{_TAIL}|(?<![A-ZÀ-Þ])Ã(?= |$)|â€|(?:[ÐÑØÙ]{_TAIL}){{2}}")


@dataclass(frozen=True)
class Problem:
    """An image, and what is wrong with it or with a caption of it."""

    name: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """What is wrong with a data set; `ok` when nothing is."""

    images: int
    unreadable: tuple[Problem, ...]
    identical: tuple[tuple[str, ...], ...]
    """Names of files that are equal byte for byte."""
    leaks: tuple[tuple[str, str], ...]
    """Pairs of names in different splits whose pixels are nearly the same; see `duplicates`."""
    repeated: tuple[str, ...]
    """Names that a split has more than once in one language."""
    in_several_splits: tuple[str, ...]
    """Names that more than one split has; a leading folder such as train/ or dev/ is no part of a name here."""
    captions: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not any(
            (self.unreadable, self.identical, self.leaks, self.repeated, self.in_several_splits, self.captions)
        )


def to_look_at(samples: Iterable[Sample]) -> list[Sample]:
    """One sample for each photo."""
    return list({_key(sample): sample for sample in samples if not isinstance(sample.image, FeatureRow)}.values())


def check(
    samples: Sequence[Sample], load: Callable[[Any], Image.Image], advance: Callable[[int], None] = lambda n: None
) -> Findings:
    """Reads every photo once and every caption, and looks for photos and names that occur more often than they should.

    `load` is what will read the images in training; whatever it raises as a BadImage is what is wrong with one.
    `advance` hears of each photo; there are `len(to_look_at(samples))`.
    """
    photos = to_look_at(samples)
    looks: list[Look] = []
    unreadable: list[Problem] = []
    for result in _look_at_all(photos, load):
        if isinstance(result, Look):
            looks.append(result)
        else:
            unreadable.append(result)
        advance(1)
    times = Counter((sample.split, sample.language, sample.name) for sample in samples)
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        splits[_without_split(sample.name)].add(sample.split)
    return Findings(
        images=len({sample.name for sample in samples}),
        unreadable=tuple(unreadable),
        identical=tuple(identical(looks)),
        leaks=tuple((one.name, other.name) for one, other in alike(looks)),
        repeated=tuple(dict.fromkeys(name for (_, _, name), count in times.items() if count > 1)),
        in_several_splits=tuple(name for name, where in splits.items() if len(where) > 1),
        captions=tuple(
            Problem(sample.name, reason)
            for sample in samples
            for caption in sample.captions
            if (reason := caption_problem(caption))
        ),
    )


def caption_problem(caption: str) -> str | None:
    """What is wrong with a caption, if anything, with its beginning."""
    words = len(caption.split())
    if not any(character.isalnum() for character in caption):
        found = "a caption without words"
    elif words > MOST_WORDS or len(caption) > MOST_CHARACTERS:
        found = f"a caption of {words} words and {len(caption)} characters"
    elif "\ufffd" in caption or MOJIBAKE.search(caption):
        found = "a caption in a wrong encoding"
    elif any(unicodedata.category(character) == "Cc" for character in caption):
        found = "a caption with a control character"
    else:
        return None
    return f"{found}: {caption if len(caption) <= 60 else caption[:60] + '...'!r}"


def _look_at_all(photos: Sequence[Sample], load: Callable[[Any], Image.Image]) -> Iterator[Look | Problem]:
    """In the order of the photos. Pillow decodes outside of Python's lock, so that threads help."""

    def look(sample: Sample) -> Look | Problem:
        try:
            file = sample.image if isinstance(sample.image, Path) else None
            return look_at(sample.name, sample.split, load(sample.image), file)
        except BadImage as error:
            return Problem(sample.name, str(error))
        except OSError as error:  # from hashing the file, after it was decoded
            return Problem(sample.name, f"unreadable: {error.strerror or error}")

    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(photos), CHUNK):  # `map` alone would queue all photos at once
            yield from pool.map(look, photos[start : start + CHUNK])


def _key(sample: Sample) -> object:
    return sample.image if isinstance(sample.image, Path) else sample.name


def _without_split(name: str) -> str:
    top, slash, rest = name.partition("/")
    return rest if slash and top in SPLITS else name
