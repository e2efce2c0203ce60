"""What a data set holds (`stats`) and what is wrong with it (`check`), as plain records for a command to print."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from showtell.data.gather import SPLITS
from showtell.errors import BadImage
from showtell.files import sha256
from showtell.records import Sample


@dataclass(frozen=True)
class Group:
    """The samples of one split in one language. Words are what white space separates."""

    split: str
    language: str
    images: int
    captions: int
    different_words: int
    shortest: int
    """Words of the shortest caption."""
    mean: float
    longest: int


@dataclass(frozen=True)
class Stats:
    """One group per split and language, in the order in which the samples bring them."""

    images: int
    """Different names, over all splits and languages."""
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Problem:
    """An image that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """What is wrong with a data set; `ok` when nothing is."""

    images: int
    """How many were looked at."""
    unreadable: tuple[Problem, ...]
    identical: tuple[tuple[str, ...], ...]
    """Names of files that are equal byte for byte."""
    repeated: tuple[str, ...]
    """Names that a split has more than once in one language."""
    in_several_splits: tuple[str, ...]
    """Names that more than one split has; a leading folder such as train/ or dev/ is no part of a name here."""

    @property
    def ok(self) -> bool:
        return not (self.unreadable or self.identical or self.repeated or self.in_several_splits)


def stats(samples: Sequence[Sample]) -> Stats:
    """Counts and caption lengths per split and language."""
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.split, sample.language].append(sample)
    return Stats(
        images=len({sample.name for sample in samples}),
        groups=tuple(_group(split, language, members) for (split, language), members in groups.items()),
    )


def check(samples: Sequence[Sample], load: Callable[[Path], object]) -> Findings:
    """Reads every image file, and looks for files and names that occur more often than they should.

    `load` is what will read the images in training; whatever it raises as a BadImage is what is wrong with one.
    """
    files = {sample.image: sample.name for sample in samples if isinstance(sample.image, Path)}
    unreadable = tuple(_unreadable(files.items(), load))
    bad = {problem.name for problem in unreadable}
    times = Counter((sample.split, sample.language, sample.name) for sample in samples)
    splits: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        splits[_without_split(sample.name)].add(sample.split)
    return Findings(
        images=len({sample.name for sample in samples}),
        unreadable=unreadable,
        identical=tuple(_identical(item for item in files.items() if item[1] not in bad)),
        repeated=tuple(dict.fromkeys(name for (_, _, name), count in times.items() if count > 1)),
        in_several_splits=tuple(name for name, where in splits.items() if len(where) > 1),
    )


def _group(split: str, language: str, members: Sequence[Sample]) -> Group:
    captions = [caption.split() for sample in members for caption in sample.captions]
    lengths = [len(words) for words in captions]
    return Group(
        split=split,
        language=language,
        images=len({sample.name for sample in members}),
        captions=len(captions),
        different_words=len({word for words in captions for word in words}),
        shortest=min(lengths, default=0),
        mean=sum(lengths) / max(len(lengths), 1),
        longest=max(lengths, default=0),
    )


def _without_split(name: str) -> str:
    top, slash, rest = name.partition("/")
    return rest if slash and top in SPLITS else name


def _unreadable(files: Iterable[tuple[Path, str]], load: Callable[[Path], object]) -> Iterable[Problem]:
    for path, name in files:
        try:
            load(path)
        except BadImage as error:
            yield Problem(name, str(error))


def _identical(files: Iterable[tuple[Path, str]]) -> Iterable[tuple[str, ...]]:
    by_content: dict[str, list[str]] = defaultdict(list)
    for path, name in files:
        by_content[sha256(path)].append(name)
    return (tuple(names) for names in by_content.values() if len(names) > 1)
