from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.metrics.diversity import (
    bad_endings,
    content_recall,
    distinct_n,
    novelty,
    self_cider,
    unique_captions,
    vocab_size,
)

CAPTIONS = [["a", "dog"], ["a", "cat"], ["a", "dog"], []]


def test_unique_is_the_share_without_repetitions() -> None:
    assert unique_captions(CAPTIONS).value == pytest.approx(3 / 4)


def test_distinct_is_the_share_of_different_ngrams() -> None:
    assert distinct_n(CAPTIONS, 1).value == pytest.approx(3 / 6)
    assert distinct_n(CAPTIONS, 2).value == pytest.approx(2 / 3)
    assert distinct_n([["a"], ["b"]], 2).value == 0  # no pairs at all


def test_vocab_size_counts_words() -> None:
    assert vocab_size(CAPTIONS).value == 3


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=5), min_size=2, max_size=6))
def test_without_each_image_is_what_the_others_have(captions: list[list[str]]) -> None:
    for metric in (unique_captions, vocab_size, lambda c: distinct_n(c, 1), lambda c: distinct_n(c, 2)):
        expected = [metric(captions[:i] + captions[i + 1 :]).value for i in range(len(captions))]
        assert metric(captions).leave_one_out.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("word", ["a", "an", "the", "of", "and", "with", "in", "on", "to", "at"])
def test_no_english_sentence_ends_so(word: str) -> None:
    assert bad_endings([["a", "dog", word]], "en").tolist() == [1]


def test_bad_endings_of_each_caption() -> None:
    assert bad_endings([["a", "dog", "on"], ["on", "a", "dog"], [], ["the"]], "en").tolist() == [1, 0, 0, 1]
    assert bad_endings([["كلب", "على"], ["كلب", "يجري"]], "ar").tolist() == [1, 0]


def test_a_caption_is_novel_unless_it_was_trained_on_word_for_word() -> None:
    assert novelty([["a", "dog"], ["a", "dog", "runs"]], {("a", "dog")}).tolist() == [0, 1]


def test_content_recall_by_hand() -> None:
    references = [["a", "brown", "dog", "is", "running"], ["the", "dog", "in", "snow"], ["it", "is", "there"]]
    # One of brown, dog, running; one of dog, snow; the third has no content words.
    assert content_recall([["a", "dog", "is", "on", "the", "dog"]], [references], "en") == pytest.approx(
        [(1 / 3 + 1 / 2) / 2]
    )
    assert content_recall([["a"], []], [[["it", "is"]], [["dog"]]], "en").tolist() == [1, 0]


OTHERS = [[["red", "ball"]], [["green", "hat"]]]  # references of two more images, so that words are rare


def test_self_cider_of_equal_captions_is_0_and_of_unlike_ones_1() -> None:
    same, unlike = [["a", "dog"]] * 3, [["blue", "cat", "sits", "down"], ["one", "fat", "man", "runs"]]
    result = self_cider([same, unlike, [["x"]]], [[["a", "dog"]], *OTHERS])
    assert result == pytest.approx([0, 1, 0], abs=1e-6)  # the last has a single caption


def test_self_cider_by_hand() -> None:
    # All words are equally rare. Cosines: words 1/2, pairs 0; no triples. So the mean of four is 1/8, and of a caption
    # with itself 2/4.
    result = self_cider([[["red", "dog"], ["red", "cat"]], [["x"], ["x"]]], [[["dog"]], [["ball"]]])
    values = [math.sqrt(1 / 2 + 1 / 8), math.sqrt(1 / 2 - 1 / 8)]
    assert result[0] == pytest.approx(-math.log2(values[0] / sum(values)))


def test_self_cider_does_not_depend_on_the_order() -> None:
    captions = [["a", "dog"], ["a", "cat", "runs"], ["dogs", "run"]]
    references = [[["a", "dog", "runs"]], *OTHERS]
    result = [self_cider([order, [["x"]], [["y"]]], references)[0] for order in (captions, captions[::-1])]
    assert 0 < result[0] < 1 and result[0] == pytest.approx(result[1])


@given(
    st.lists(
        st.tuples(
            st.lists(st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=4),
            st.lists(st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_self_cider_as_a_dictionary_at_a_time_has_it(images: list[tuple[list[list[str]], list[list[str]]]]) -> None:
    alternatives, references = zip(*images, strict=True)

    def ngrams(words: list[str], n: int) -> list[tuple[str, ...]]:
        return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]

    def vector(words: list[str], n: int) -> dict[tuple[str, ...], float]:
        result = ngrams(words, n)
        document_frequency = {
            g: sum(any(g in ngrams(r, n) for r in captions) for captions in references) for g in result
        }
        return {g: result.count(g) * math.log(len(images) / max(1, document_frequency[g])) for g in result}

    def cosine(a: list[str], b: list[str], n: int) -> float:
        x, y = vector(a, n), vector(b, n)
        norms = math.hypot(*x.values()) * math.hypot(*y.values())
        return sum(w * y.get(g, 0) for g, w in x.items()) / norms if norms else 0

    for result, captions in zip(self_cider(alternatives, references), alternatives, strict=True):
        kernel = [[sum(cosine(a, b, n) for n in (1, 2, 3, 4)) / 4 for b in captions] for a in captions]
        roots = np.sqrt(np.linalg.svd(np.array(kernel), compute_uv=False))
        several = len(captions) > 1 and roots.sum() > 0
        # The square root makes much of what rounding leaves of an eigenvalue of 0.
        expected = -math.log(roots.max() / roots.sum()) / math.log(len(captions)) if several else 0
        assert result == pytest.approx(expected, abs=1e-5)


def test_one_image_with_many_captions_costs_the_others_nothing() -> None:
    """A hundred captions of one image, and five of a thousand others: not a hundred of each."""
    words = [*"abcdefgh"]
    draw = np.random.default_rng(0)
    captions = [[draw.choice(words, 6).tolist() for _ in range(100 if n == 0 else 5)] for n in range(1000)]
    result = self_cider(captions, [image_captions[:2] for image_captions in captions])
    alone = self_cider(captions[1:], [image_captions[:2] for image_captions in captions[1:]])
    assert result[1:] == pytest.approx(alone, abs=0.02)  # but for document frequencies
