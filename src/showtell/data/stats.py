"""Statistics of a data set: images, captions, caption lengths, and the coverage of vocabularies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from showtell.data.scripts import script_counts
from showtell.languages import language_info
from showtell.languages.words import split_words as split_characters
from showtell.records import Sample

MIN_FREQUENCIES: Final = (1, 2, 3, 5, 10)
"""How often a word must occur in training, for each vocabulary that is counted."""
UNKNOWN: Final = "<unk>"
"""The token for a rare word in captions such as CS231n's; no vocabulary counts it."""


@dataclass(frozen=True)
class SplitStats:
    """The samples of one split in one language. Words are separated by white space; in a language that is written
    without spaces, a word is one character."""

    split: str
    language: str
    images: int
    captions: int
    unique_words: int
    shortest: int
    """Words of the shortest caption."""
    mean: float
    longest: int
    lengths: tuple[int, ...] = field(default=(), compare=False)
    """Histogram: the number of captions with 0, 1, 2 ... words."""
    scripts: tuple[tuple[str, float], ...] = field(default=(), compare=False)
    """The scripts of the letters (ISO 15924) with their shares, the most frequent first."""


@dataclass(frozen=True)
class Coverage:
    """The vocabulary of the words that occur at least `min_frequency` times in the training captions."""

    language: str
    min_frequency: int
    vocab_size: int
    dev_coverage: float | None
    """Share of the word occurrences in dev's captions that the vocabulary covers; None without dev captions."""


@dataclass(frozen=True)
class Stats:
    """Groups by split and language, in the order of the samples."""

    images: int
    """Unique names over all splits and languages."""
    groups: tuple[SplitStats, ...]
    frequencies: dict[str, tuple[int, ...]]
    """By language: how often each word occurs in the training captions, the most frequent first."""
    coverage: tuple[Coverage, ...]


def compute_stats(
    samples: Sequence[Sample],
    split_words: Callable[[str, str], Sequence[str]] = lambda caption, language: caption.split(),
) -> Stats:
    """Caption lengths by white space; vocabularies by `split_words` of a caption and its language, as in training."""
    members: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    words: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for sample in samples:
        members[sample.split, sample.language].append(sample)
        for caption in sample.captions:
            words[sample.split, sample.language].update(split_words(caption, sample.language))
    train = {language: _without_unknown(counts) for (split, language), counts in words.items() if split == "train"}
    return Stats(
        images=len({sample.name for sample in samples}),
        groups=tuple(_split_stats(split, language, group) for (split, language), group in members.items()),
        frequencies={language: tuple(sorted(counts.values(), reverse=True)) for language, counts in train.items()},
        coverage=tuple(
            _coverage(language, min_frequency, counts, words.get(("dev", language), Counter()))
            for language, counts in train.items()
            for min_frequency in MIN_FREQUENCIES
        ),
    )


def _split_stats(split: str, language: str, members: Sequence[Sample]) -> SplitStats:
    is_unspaced = language_info(language).is_unspaced
    words: set[str] = set()
    lengths: Counter[int] = Counter()
    for caption in (caption for sample in members for caption in sample.captions):
        tokens = split_characters(caption, language) if is_unspaced else caption.split()
        words.update(tokens)
        lengths[len(tokens)] += 1
    longest = max(lengths, default=0)
    scripts = script_counts(caption for sample in members for caption in sample.captions)
    return SplitStats(
        split=split,
        language=language,
        images=len({sample.name for sample in members}),
        captions=lengths.total(),
        unique_words=len(words),
        shortest=min(lengths, default=0),
        mean=sum(length * count for length, count in lengths.items()) / max(lengths.total(), 1),
        longest=longest,
        lengths=tuple(lengths[length] for length in range(longest + 1)),
        scripts=tuple((script, count / scripts.total()) for script, count in scripts.most_common()),
    )


def _without_unknown(words: Counter[str]) -> dict[str, int]:
    return {word: count for word, count in words.items() if word != UNKNOWN}


def _coverage(language: str, min_frequency: int, train: dict[str, int], dev: Counter[str]) -> Coverage:
    vocabulary = {word for word, count in train.items() if count >= min_frequency}
    covered = sum(count for word, count in dev.items() if word in vocabulary)
    return Coverage(language, min_frequency, len(vocabulary), covered / dev.total() if dev else None)
