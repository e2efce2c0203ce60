from __future__ import annotations

import pytest

from showtell.metrics.diversity import bad_endings, different


def test_different_is_the_share_without_repetitions() -> None:
    assert different([["a", "dog"], ["a", "cat"], ["a", "dog"], []]) == pytest.approx(3 / 4)


@pytest.mark.parametrize("word", ["a", "an", "the", "of", "and", "with", "in", "on", "to", "at"])
def test_no_sentence_ends_so(word: str) -> None:
    assert bad_endings([["a", "dog", word]]) == 1


def test_bad_endings_is_the_share_that_breaks_off() -> None:
    assert bad_endings([["a", "dog", "on"], ["on", "a", "dog"], [], ["the"]]) == pytest.approx(2 / 4)
