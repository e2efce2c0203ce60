"""Checks of a data set: unreadable images, duplicates, leaks between splits, suspicious captions."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from PIL import Image

from showtell.data.duplicates import Fingerprint, exact_duplicates, fingerprint, near_duplicates
from showtell.data.scripts import script_problem
from showtell.data.split_folders import split_folder
from showtell.errors import BadImage, StorageUnreachable
from showtell.loading import LOADER_THREADS
from showtell.records import FeatureRow, Sample

MAX_WORDS, MAX_CHARACTERS = 100, 1000
"""The longest caption of Flickr8k has 38 words and 199 characters; more than these is a page that came along."""
CHUNK: Final = 256
"""Images that wait for a thread at once."""

# Bytes 0x80 to 0xbf, which continue a letter in UTF-8, as Windows-1252 and Latin-1 show them.
_TAIL: Final = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
# Ã© for é, â€™ for an apostrophe; for Arabic and Cyrillic two in a row, since a single Ø or Ñ begins words as well.
# à is Ã and a no-break space, which `files.collapse_whitespace` made a space; after a capital, as in MANHÃ, it is a
# letter.
MOJIBAKE: Final = re.compile(rf"[ÂÃ]{_TAIL}|(?<![A-ZÀ-Þ])Ã(?= |$)|â€|(?:[ÐÑØÙ]{_TAIL}){{2}}")


@dataclass(frozen=True)
class Problem:
    """An image and what is wrong with it or with one of its captions."""

    name: str
    reason: str


@dataclass(frozen=True)
class CheckReport:
    """All problems of a data set; `ok` when there are none."""

    images: int
    unreadable: tuple[Problem, ...]
    exact_duplicates: tuple[tuple[str, ...], ...]
    """Names of files that are equal byte for byte."""
    near_duplicates: tuple[tuple[str, str], ...]
    """Pairs of names in different splits with nearly the same pixels; see `duplicates`."""
    repeated_names: tuple[str, ...]
    """Names that occur more than once in one split and language."""
    split_overlaps: tuple[str, ...]
    """Names that occur in more than one split, compared without the folder that names the split."""
    captions: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not any(
            (
                self.unreadable,
                self.exact_duplicates,
                self.near_duplicates,
                self.repeated_names,
                self.split_overlaps,
                self.captions,
            )
        )


def unique_images(samples: Iterable[Sample]) -> list[Sample]:
    """One sample for each image, in the order of the samples."""
    return list({_image_key(sample): sample for sample in samples if not isinstance(sample.image, FeatureRow)}.values())


def check_samples(
    samples: Sequence[Sample], load: Callable[[Any], Image.Image], advance: Callable[[int], None] = lambda n: None
) -> CheckReport:
    """Decodes every image once and checks every caption; finds duplicate images and names.

    `load` reads an image as training does; its BadImage is the problem of an image. `advance(1)` is called after each
    of the `len(unique_images(samples))` images.
    """
    photos = unique_images(samples)
    fingerprints: list[Fingerprint] = []
    unreadable: list[Problem] = []
    for result in _fingerprints(photos, load):
        if isinstance(result, Fingerprint):
            fingerprints.append(result)
        else:
            unreadable.append(result)
        advance(1)
    times = Counter((sample.split, sample.language, sample.name) for sample in samples)
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        splits[_without_split(sample.name)].add(sample.split)
    return CheckReport(
        images=len({sample.name for sample in samples}),
        unreadable=tuple(unreadable),
        exact_duplicates=tuple(exact_duplicates(fingerprints)),
        near_duplicates=tuple((one.name, other.name) for one, other in near_duplicates(fingerprints)),
        repeated_names=tuple(dict.fromkeys(name for (_, _, name), count in times.items() if count > 1)),
        split_overlaps=tuple(name for name, names in splits.items() if len(names) > 1),
        captions=tuple(
            Problem(sample.name, reason)
            for sample in samples
            for caption in sample.captions
            if (reason := caption_problem(caption, sample.language))
        ),
    )


def caption_problem(caption: str, language: str) -> str | None:
    """What is wrong with a caption, with its beginning; None when nothing is."""
    words = len(caption.split())
    if not any(character.isalnum() for character in caption):
        problem = "a caption without words"
    elif words > MAX_WORDS or len(caption) > MAX_CHARACTERS:
        problem = f"a caption of {words} words and {len(caption)} characters"
    elif "\ufffd" in caption or MOJIBAKE.search(caption):
        problem = "a caption in a wrong encoding"
    elif any(unicodedata.category(character) == "Cc" for character in caption):
        problem = "a caption with a control character"
    elif scripts := script_problem(caption, language):
        problem = f"a caption with {scripts}"
    else:
        return None
    return f"{problem}: {caption if len(caption) <= 60 else caption[:60] + '...'!r}"


def _fingerprints(photos: Sequence[Sample], load: Callable[[Any], Image.Image]) -> Iterator[Fingerprint | Problem]:
    """In the order of the photos."""

    def fingerprint_or_problem(sample: Sample) -> Fingerprint | Problem:
        try:
            file = sample.image if isinstance(sample.image, Path) else None
            return fingerprint(sample.name, sample.split, load(sample.image), file)
        except BadImage as error:
            if error.code == "url_failed":
                raise StorageUnreachable(f"{sample.name}: {error.detail}; run it again") from error
            return Problem(sample.name, str(error))
        except OSError as error:  # from hashing the file, after it was decoded
            return Problem(sample.name, f"unreadable: {error.strerror or error}")

    with ThreadPoolExecutor(2 * LOADER_THREADS) as pool:
        for start in range(0, len(photos), CHUNK):  # `map` alone would queue all photos at once
            yield from pool.map(fingerprint_or_problem, photos[start : start + CHUNK])


def _image_key(sample: Sample) -> object:
    return sample.image if isinstance(sample.image, Path) else sample.name


def _without_split(name: str) -> str:
    found = split_folder(name)
    parts = PurePosixPath(name).parts
    return name if found is None else "/".join([*parts[: found.depth], *parts[found.depth + 1 :]])
