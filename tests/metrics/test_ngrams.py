from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.metrics import ngrams
from showtell.metrics.ngrams import count, number

caption = st.lists(st.sampled_from("abcd"), max_size=9)
images = st.lists(st.tuples(caption, st.lists(caption, min_size=1, max_size=3)), min_size=1, max_size=4)

Found = dict[tuple[int, tuple[str, ...]], tuple[int, int]]


def slow(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], n: int) -> Found:
    """Of each image and n-gram: how often the candidate has it, and that reference that has it most often."""

    def counts(words: Sequence[str]) -> Counter[tuple[str, ...]]:
        return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))

    found: Found = {}
    for image, (words, others) in enumerate(zip(candidates, references, strict=True)):
        said, most = counts(words), Counter[tuple[str, ...]]()
        for other in others:
            most |= counts(other)
        found |= {(image, ngram): (said[ngram], most[ngram]) for ngram in said | most}
    return found


@pytest.mark.parametrize("largest", [ngrams._LARGEST, 1], ids=["one key", "stable sort"])
@given(images=images)
def test_counts_are_those_of_dictionaries(largest: int, images: list[tuple[list[str], list[list[str]]]]) -> None:
    candidates, references = zip(*images, strict=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "_LARGEST", largest)
        corpus = number(candidates, references)
        found = list(count(corpus))
    for n, of in enumerate(found, start=1):
        expected = slow(candidates, references, n)
        assert sorted(zip(of.image, of.said, of.most, strict=True)) == sorted(
            (image, *counts) for (image, _), counts in expected.items()
        )
        # An n-gram has the same number in every image, and another than any other n-gram.
        assert len(set(of.ngram.tolist())) == len({ngram for _, ngram in expected})
        images_with = Counter(ngram for _, ngram in expected)
        assert sorted(Counter(of.ngram.tolist()).values()) == sorted(images_with.values())


@given(images=images)
def test_the_entries_of_a_caption_are_its_ngrams(images: list[tuple[list[str], list[list[str]]]]) -> None:
    candidates, references = zip(*images, strict=True)
    corpus = number(candidates, references)
    captions = [words for one, others in images for words in (one, *others)]
    for n, of in enumerate(count(corpus), start=1):
        for place, words in enumerate(captions):
            expected = Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
            assert sorted(of.times[of.caption == place]) == sorted(expected.values())
        assert of.image[of.group].tolist() == corpus.image[of.caption].tolist()
