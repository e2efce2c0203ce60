from pathlib import Path

from showtell.data.stats import Coverage, SplitStats, compute_stats
from showtell.records import Sample


def sample(name: str, split: str = "train", captions: tuple[str, ...] = ("a dog",), language: str = "en") -> Sample:
    return Sample(name, Path("/photos") / name, captions, split, language)


def test_stats_count_per_split_and_language() -> None:
    found = compute_stats(
        [
            sample("a.jpg", captions=("a dog", "a big dog runs")),
            sample("a.jpg", captions=("كلب",), language="ar"),
            sample("b.jpg", captions=("a cat runs",)),
            sample("c.jpg", "dev", captions=("grass",)),
        ]
    )
    assert found.images == 3
    assert found.groups == (
        SplitStats("train", "en", images=2, captions=3, unique_words=5, shortest=2, mean=3.0, longest=4),
        SplitStats("train", "ar", images=1, captions=1, unique_words=1, shortest=1, mean=1.0, longest=1),
        SplitStats("dev", "en", images=1, captions=1, unique_words=1, shortest=1, mean=1.0, longest=1),
    )


def test_stats_of_nothing() -> None:
    assert compute_stats([]).groups == ()


def test_coverage_by_hand() -> None:
    found = compute_stats(
        [
            sample("a", captions=("a dog a cat", "a dog runs")),
            sample("b", "dev", captions=("a dog flies", "a bird")),
        ]
    )
    # In training: a 3, dog 2, cat 1, runs 1. In dev: a 2, dog 1, flies 1, bird 1.
    assert found.coverage[:3] == (
        Coverage("en", 1, 4, 3 / 5),
        Coverage("en", 2, 2, 3 / 5),
        Coverage("en", 3, 1, 2 / 5),
    )
    assert found.frequencies == {"en": (3, 2, 1, 1)}
    assert found.groups[0].lengths == (0, 0, 0, 1, 1)


def test_words_are_split_as_training_splits_them() -> None:
    found = compute_stats(
        [sample("a", captions=("A dog.", "a dog"))], lambda caption, language: caption.lower().strip(".").split()
    )
    assert found.frequencies == {"en": (2, 2)} and found.coverage[0].dev_coverage is None


def test_the_unknown_word_is_in_no_vocabulary_and_never_covered() -> None:
    found = compute_stats([sample("a", captions=("a <unk>",)), sample("b", "dev", captions=("a <unk>",))])
    assert found.frequencies == {"en": (1,)} and found.coverage[0] == Coverage("en", 1, 1, 1 / 2)
