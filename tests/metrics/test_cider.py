from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import skips

from showtell.metrics.cider import cider as cider_of_counts
from showtell.metrics.ngrams import Floats, build_corpus, count_ngrams

Words = Sequence[str]

caption = st.lists(st.sampled_from("abcd"), max_size=7)
image = st.tuples(caption, st.lists(caption, min_size=1, max_size=3))


def cider(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> Floats:
    corpus = build_corpus(candidates, references)
    return cider_of_counts(corpus, count_ngrams(corpus))


def slow_cider(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """One caption and one dictionary at a time: the specification."""

    def counts(words: Words, n: int) -> Counter[tuple[str, ...]]:
        return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))

    def similarity(candidate: Words, reference: Words) -> float:
        total = 0.0
        for n in (1, 2, 3, 4):
            document_frequency = Counter(
                ngram for captions in references for ngram in set().union(*(counts(r, n) for r in captions))
            )

            def weights(
                words: Words, n: int = n, document_frequency: Counter[tuple[str, ...]] = document_frequency
            ) -> dict[object, float]:
                return {
                    g: c * math.log(len(candidates) / max(1, document_frequency[g]))
                    for g, c in counts(words, n).items()
                }

            a, b = weights(candidate), weights(reference)
            norms = math.hypot(*a.values()) * math.hypot(*b.values())
            total += sum(min(a[g], b[g]) * b[g] for g in a.keys() & b.keys()) / norms if norms else 0
        return total / 4 * math.exp(-((len(candidate) - len(reference)) ** 2) / 72)

    return [
        10 * sum(similarity(words, reference) for reference in captions) / len(captions)
        for words, captions in zip(candidates, references, strict=True)
    ]


def cider_of(*images: tuple[str, list[str]]) -> list[float]:
    candidates = [candidate.split() for candidate, _ in images]
    return cider(candidates, [[reference.split() for reference in captions] for _, captions in images]).tolist()


CAT = ("blue cat sits here", ["blue cat sits here"])


def test_the_same_caption_scores_10() -> None:
    assert cider_of(("a dog runs fast", ["a dog runs fast"]), CAT) == pytest.approx([10, 10])


def test_two_words_have_no_triples() -> None:
    assert cider_of(("a dog", ["a dog"]), CAT)[0] == pytest.approx(5)


def test_by_hand() -> None:
    # All weights are equal: 2 of 2 words against 3, 1 of 1 pair against 2; one word shorter.
    expected = 10 / 4 * (2 / math.sqrt(2 * 3) + 1 / math.sqrt(1 * 2)) * math.exp(-1 / 72)
    assert cider_of(("red dog", ["red dog runs"]), CAT)[0] == pytest.approx(expected)


def test_repeating_a_word_does_not_pay() -> None:
    # Words: (2, 0) against (1, 1), of which 1 * 1 counts. Pairs: none in common.
    assert cider_of(("red red", ["red dog"]), CAT)[0] == pytest.approx(10 / 4 / (2 * math.sqrt(2)))


def test_what_every_image_has_is_worth_nothing() -> None:
    assert cider_of(("a", ["a dog"]), ("a", ["a cat"])) == [0, 0]


def test_references_share_the_score() -> None:
    assert cider_of(("a dog runs fast", ["a dog runs fast", "nothing alike"]), CAT)[0] == pytest.approx(5)


def test_how_rare_is_counted_in_images_not_captions() -> None:
    once = cider_of(("dog one", ["dog two"]), ("x", ["x y"]), CAT)
    twice = cider_of(("dog one", ["dog two", "dog two"]), ("x", ["x y"]), CAT)
    assert once == pytest.approx(twice)


@pytest.mark.parametrize("candidate", ["", "dog"])
def test_nearly_nothing_to_compare(candidate: str) -> None:
    assert cider_of((candidate, [""])) == [0]
    assert cider_of((candidate, ["", "a dog"]), ("", ["", ""])) == pytest.approx(
        slow_cider([candidate.split(), []], [[[], ["a", "dog"]], [[], []]])
    )


@given(st.lists(image, min_size=1, max_size=5))
def test_equal_to_the_specification(images: list[tuple[list[str], list[list[str]]]]) -> None:
    candidates, references = zip(*images, strict=True)
    np.testing.assert_allclose(cider(candidates, references), slow_cider(candidates, references), rtol=0, atol=1e-12)


@given(
    st.lists(image, min_size=1, max_size=5).filter(lambda images: any(word for _, words in images for word in words))
)
def test_equal_to_pycocoevalcap(images: list[tuple[list[str], list[list[str]]]]) -> None:
    module = pytest.importorskip("pycocoevalcap.cider.cider", reason=skips.PACKAGES)
    candidates, references = zip(*images, strict=True)
    expected_mean, expected_images = module.Cider().compute_score(
        {n: [" ".join(words) for words in captions] for n, captions in enumerate(references)},
        {n: [" ".join(words)] for n, words in enumerate(candidates)},
    )
    result = cider(candidates, references)
    np.testing.assert_allclose(result, expected_images, rtol=0, atol=1e-12)
    assert result.mean() == pytest.approx(expected_mean, abs=1e-12)
