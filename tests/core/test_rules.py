import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.core.rules import AnyRule, Ban, MaxLength, MinLength, NoBadEnding, NoRepeatNgram, forbid

VOCABULARY, END, A, B, C = 6, 0, 3, 4, 5


def mask(rules: list[AnyRule], sentences: np.ndarray) -> np.ndarray:
    """`[B, K, V]`: what is forbidden after `sentences` `[B, K, T]`."""
    found = forbid(rules, sentences)
    every = np.broadcast_to(np.arange(VOCABULARY), (*sentences.shape[:2], VOCABULARY))
    masked = found.mask(every)
    assert found.all_but is not None or (masked.sum(-1) <= found.most).all(), "a step is asked for so many more"
    return masked


def forbidden(rule: AnyRule, *sentences: list[int]) -> list[set[int]]:
    """What the rule forbids after each sentence, the sentences being beams of one image."""
    masked = mask([rule], np.array([sentences], np.int64).reshape(1, len(sentences), -1))
    return [set(np.nonzero(row)[0].tolist()) for row in masked[0]]


def test_ban() -> None:
    assert forbidden(Ban([1, 2]), [], []) == [{1, 2}, {1, 2}]
    assert forbidden(Ban([5]), [A, B]) == [{5}]
    assert forbidden(Ban([]), [A]) == [set()]


def test_min_length_counts_words_before_the_end() -> None:
    rule = MinLength(2, END)
    assert forbidden(rule, []) == [{END}]
    assert forbidden(rule, [A], [B]) == [{END}, {END}]
    assert forbidden(rule, [A, B]) == [set()]
    assert forbidden(MinLength(0, END), []) == [set()]


@pytest.mark.parametrize("end", [0, 2, VOCABULARY - 1])
def test_max_length_leaves_nothing_but_the_end(end: int) -> None:
    rule = MaxLength(2, end)
    assert forbidden(rule, []) == [set()]
    assert forbidden(rule, [A]) == [set()]
    assert forbidden(rule, [A, B], [B, A]) == [set(range(VOCABULARY)) - {end}] * 2


def test_no_bad_ending() -> None:
    rule = NoBadEnding([A, B], END, max_length=4)
    assert forbidden(rule, []) == [set()]
    assert forbidden(rule, [C, A], [A, C], [C, B]) == [{END}, set(), {END}]


def test_no_bad_ending_at_the_greatest_length() -> None:
    rule = NoBadEnding([A, B], END, max_length=3)
    assert forbidden(rule, [C]) == [set()]
    assert forbidden(rule, [C, C], [C, A]) == [{A, B}, {A, B, END}]
    assert forbidden(rule, [A, A, C]) == [set()]
    assert forbidden(NoBadEnding([A], END, max_length=1), []) == [{A}]


def test_no_bad_ending_of_no_words() -> None:
    assert forbidden(NoBadEnding([], END, max_length=2), [A]) == [set()]


def test_no_repeat_ngram() -> None:
    trigrams = NoRepeatNgram(3)
    assert forbidden(trigrams, [A, B]) == [set()]
    assert forbidden(trigrams, [A, B, C, A, B], [A, B, C, B, A]) == [{C}, set()]
    assert forbidden(trigrams, [A, B, C, A, B, A, A, B]) == [{A, C}]
    assert forbidden(trigrams, [A, A, A]) == [{A}]
    assert forbidden(NoRepeatNgram(2), [A, B, A], [C, C, B]) == [{B}, set()]
    assert forbidden(NoRepeatNgram(1), []) == [set()]
    assert forbidden(NoRepeatNgram(1), [A, C, A]) == [{A, C}]


def repeated(words: list[int], n: int) -> set[int]:
    """The words after which an n-gram would occur twice."""
    ngrams = {tuple(words[t : t + n]) for t in range(len(words) - n + 1)}
    return {word for word in range(VOCABULARY) if (*words, word)[-n:] in ngrams}


@given(
    n=st.integers(1, 4),
    length=st.integers(0, 12),
    grid=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    words=st.integers(2, VOCABULARY),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_repeat_ngram_equals_sets_of_ngrams(
    n: int, length: int, grid: tuple[int, int], words: int, seed: int
) -> None:
    sentences = np.random.default_rng(seed).integers(words, size=(*grid, length))
    masked = mask([NoRepeatNgram(n)], sentences)
    for image, beam in np.ndindex(*grid):
        assert set(np.nonzero(masked[image, beam])[0].tolist()) == repeated(sentences[image, beam].tolist(), n)


def test_every_image_and_beam_has_its_own_words() -> None:
    sentences = np.array([[[A, B, A], [B, B, B]], [[C, C, A], [A, C, A]]])
    masked = mask([NoRepeatNgram(2), NoBadEnding([B], END, 9)], sentences)
    assert {(int(b), int(k), int(v)) for b, k, v in np.argwhere(masked)} == {
        (0, 0, B),
        (0, 1, B),
        (0, 1, END),
        (1, 1, C),
    }


def test_rules_add_up_and_may_leave_nothing() -> None:
    assert mask([MinLength(3, END), MaxLength(1, END)], np.array([[[A]]])).all()
    assert not mask([], np.array([[[A]]])).any()


@given(
    n=st.integers(1, 4),
    prompt=st.lists(st.integers(0, 2), max_size=5),
    words=st.lists(st.integers(0, 2), max_size=6),
)
def test_ngrams_of_the_prompt_count(n: int, prompt: list[int], words: list[int]) -> None:
    assert forbidden(NoRepeatNgram(n, prompt), words) == [repeated([*prompt, *words], n)]
