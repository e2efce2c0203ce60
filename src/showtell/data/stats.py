"""What a data set holds, as plain records for a command to print or draw."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from showtell.records import Sample

MIN_FREQUENCIES: Final = (1, 2, 3, 5, 10)
"""How often a word must occur in training, for each vocabulary that is counted."""
UNKNOWN: Final = "<unk>"
"""A rare word in captions that come without it; no vocabulary has it."""


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
    lengths: tuple[int, ...] = field(default=(), compare=False)
    """How many captions have 0, 1, 2 ... words."""


@dataclass(frozen=True)
class Coverage:
    """The vocabulary of the words that occur at least `min_frequency` times in the training captions."""

    language: str
    min_frequency: int
    words: int
    of_dev: float | None
    """The share of the words of dev's captions that it has, each word as often as it occurs; None without any."""


@dataclass(frozen=True)
class Stats:
    """Groups by split and language, in the order in which the samples bring them."""

    images: int
    """Different names, over all splits and languages."""
    groups: tuple[Group, ...]
    frequencies: dict[str, tuple[int, ...]]
    """By language: how often each word occurs in the training captions, the most frequent first."""
    coverage: tuple[Coverage, ...]


def stats(samples: Sequence[Sample], split_words: Callable[[str], Sequence[str]] = str.split) -> Stats:
    """Counts and caption lengths, and the vocabularies of the words that `split_words` finds, as training does."""
    members: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    words: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for sample in samples:
        members[sample.split, sample.language].append(sample)
        for caption in sample.captions:
            words[sample.split, sample.language].update(split_words(caption))
    train = {language: _known(counts) for (split, language), counts in words.items() if split == "train"}
    return Stats(
        images=len({sample.name for sample in samples}),
        groups=tuple(_group(split, language, those) for (split, language), those in members.items()),
        frequencies={language: tuple(sorted(counts.values(), reverse=True)) for language, counts in train.items()},
        coverage=tuple(
            _coverage(language, least, counts, words.get(("dev", language), Counter()))
            for language, counts in train.items()
            for least in MIN_FREQUENCIES
        ),
    )


def _group(split: str, language: str, members: Sequence[Sample]) -> Group:
    words: set[str] = set()
    lengths: Counter[int] = Counter()
    for caption in (caption for sample in members for caption in sample.captions):
        found = caption.split()
        words.update(found)
        lengths[len(found)] += 1
    longest = max(lengths, default=0)
    return Group(
        split=split,
        language=language,
        images=len({sample.name for sample in members}),
        captions=lengths.total(),
        different_words=len(words),
        shortest=min(lengths, default=0),
        mean=sum(length * count for length, count in lengths.items()) / max(lengths.total(), 1),
        longest=longest,
        lengths=tuple(lengths[length] for length in range(longest + 1)),
    )


def _known(words: Counter[str]) -> dict[str, int]:
    return {word: count for word, count in words.items() if word != UNKNOWN}


def _coverage(language: str, min_frequency: int, train: dict[str, int], dev: Counter[str]) -> Coverage:
    kept = {word for word, count in train.items() if count >= min_frequency}
    covered = sum(count for word, count in dev.items() if word in kept)
    return Coverage(language, min_frequency, len(kept), covered / dev.total() if dev else None)
