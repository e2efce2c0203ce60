from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.metrics import ngrams
from showtell.metrics.ngrams import build_corpus, count_ngrams

caption = st.lists(st.sampled_from("abcd"), max_size=9)
images = st.lists(st.tuples(caption, st.lists(caption, min_size=1, max_size=3)), min_size=1, max_size=4)

Counts = dict[tuple[int, tuple[str, ...]], tuple[int, int]]


def slow(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], n: int) -> Counts:
    """Of each image and n-gram: how often the candidate has it, and that reference that has it most often."""

    def counts(words: Sequence[str]) -> Counter[tuple[str, ...]]:
        return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))

    expected: Counts = {}
    for image, (words, captions) in enumerate(zip(candidates, references, strict=True)):
        in_candidate, in_references = counts(words), Counter[tuple[str, ...]]()
        for caption in captions:
            in_references |= counts(caption)
        ngrams = in_candidate | in_references
        expected |= {(image, ngram): (in_candidate[ngram], in_references[ngram]) for ngram in ngrams}
    return expected


@pytest.mark.parametrize("largest", [ngrams._INT64_MAX, 1], ids=["one key", "stable sort"])
@given(images=images)
def test_counts_are_those_of_dictionaries(largest: int, images: list[tuple[list[str], list[list[str]]]]) -> None:
    candidates, references = zip(*images, strict=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "_INT64_MAX", largest)
        corpus = build_corpus(candidates, references)
        orders = list(count_ngrams(corpus))
    for n, ngram_counts in enumerate(orders, start=1):
        expected = slow(candidates, references, n)
        result = zip(
            ngram_counts.image_ids, ngram_counts.candidate_counts, ngram_counts.max_reference_counts, strict=True
        )
        assert sorted(result) == sorted((image, *counts) for (image, _), counts in expected.items())
        # An n-gram has the same number in every image, and another than any other n-gram.
        assert len(set(ngram_counts.ngram_ids.tolist())) == len({ngram for _, ngram in expected})
        document_frequency = Counter(ngram for _, ngram in expected)
        assert sorted(Counter(ngram_counts.ngram_ids.tolist()).values()) == sorted(document_frequency.values())


@given(images=images)
def test_the_entries_of_a_caption_are_its_ngrams(images: list[tuple[list[str], list[list[str]]]]) -> None:
    candidates, references = zip(*images, strict=True)
    corpus = build_corpus(candidates, references)
    captions = [words for candidate, refs in images for words in (candidate, *refs)]
    for n, ngram_counts in enumerate(count_ngrams(corpus), start=1):
        for index, words in enumerate(captions):
            expected = Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
            assert sorted(ngram_counts.counts[ngram_counts.caption_ids == index]) == sorted(expected.values())
        image_ids = ngram_counts.image_ids[ngram_counts.group_ids]
        assert image_ids.tolist() == corpus.image_ids[ngram_counts.caption_ids].tolist()
