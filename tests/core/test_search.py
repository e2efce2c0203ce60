from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fake_stepper import REGIONS, FakeStepper, NextWord, history, random_ngram, script

from showtell.core.rules import AnyRule, Ban, MaxLength, MinLength, NoRepeatNgram, forbid
from showtell.core.search import Hypothesis, greedy, sample

Sentence = tuple[int, ...]

END, START, A, B, C, D = 0, 1, 2, 3, 4, 5
VOCABULARY = 6


def allowed(network: NextWord, start: int, words: Sentence, rules: Sequence[AnyRule]) -> np.ndarray:
    log_probs = network((start, *words)).copy()
    forbidden = forbid(rules, np.array(words, np.int64)[None, None])
    log_probs[forbidden.mask(np.arange(len(log_probs))[None, None])[0, 0]] = -np.inf
    return log_probs


def rollout(network: NextWord, start: int, rules: Sequence[AnyRule]) -> Sentence:
    """The most probable word, again and again; of several the lowest id; the end where nothing is left."""
    words: Sentence = ()
    while True:
        log_probs = allowed(network, start, words, rules).tolist()
        word = max(range(len(log_probs)), key=lambda w: (log_probs[w], -w)) if max(log_probs) > -np.inf else END
        if word == END:
            return words
        words += (word,)


def check(hypothesis: Hypothesis, image: int, network: NextWord, start: int) -> None:
    """Log-probabilities are the network's own, the attention that of the very words."""
    words = tuple(hypothesis.tokens.tolist())
    each = [network((start, *words[:t]))[word] for t, word in enumerate((*words, END))]
    np.testing.assert_array_equal(hypothesis.log_probs, each)
    assert hypothesis.attention is not None and hypothesis.attention.shape == (len(words), REGIONS)
    for t, row in enumerate(hypothesis.attention):
        np.testing.assert_array_equal(row, history(image, (start, *words[:t])))


def test_score_and_log_prob() -> None:
    hypothesis = Hypothesis(np.array([A, B]), np.array([-1, -2, -0.75], np.float32))
    assert hypothesis.log_prob == -3.75 and hypothesis.score == -1.25


@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 5),
    vocabulary=st.integers(3, 8),
    grain=st.sampled_from([0, 0.5]),
    impossible=st.sampled_from([0, 0.3]),
    longest=st.integers(1, 9),
    shortest=st.integers(0, 4),
    ngram=st.integers(1, 3),
)
def test_greedy_equals_a_rollout_of_each_image(
    seed: int, images: int, vocabulary: int, grain: float, impossible: float, longest: int, shortest: int, ngram: int
) -> None:
    random = np.random.default_rng(seed)
    stepper = FakeStepper([random_ngram(random, vocabulary, 3, grain, impossible) for _ in range(images)])
    starts = random.integers(1, vocabulary, images)
    rules = [Ban([1]), MinLength(shortest, END), NoRepeatNgram(ngram), MaxLength(longest, END)]
    found = greedy(stepper, stepper.encode(range(images)), starts[:, None], END, rules, attention=True)
    assert len(found) == images
    for image, hypothesis in enumerate(found):
        expected = rollout(stepper.networks[image], starts[image], rules)
        assert tuple(hypothesis.tokens.tolist()) == expected
        check(hypothesis, image, stepper.networks[image], starts[image])
        assert sum(image in seen for seen in stepper.seen) == len(expected) + 1, "an image that has ended leaves"


@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 4), longest=st.integers(1, 6))
def test_prompts_are_read_first_and_sentences_may_be_truncated(seed: int, length: int, longest: int) -> None:
    random = np.random.default_rng(seed)
    stepper = FakeStepper([random_ngram(random, 6, 4) for _ in range(3)])
    prompts = random.integers(1, 6, size=(3, length))
    found = greedy(stepper, stepper.encode(range(3)), prompts, END, [], attention=True, truncate_at=longest)
    for image, (network, prompt, hypothesis) in enumerate(zip(stepper.networks, prompts.tolist(), found, strict=True)):
        expected: list[int] = []
        while len(expected) < longest and END not in expected:
            expected.append(int(network((*prompt, *expected)).argmax()))
        words = [word for word in expected if word != END]
        assert hypothesis.tokens.tolist() == words
        each = [network((*prompt, *expected[:t]))[word] for t, word in enumerate(expected)]
        np.testing.assert_array_equal(hypothesis.log_probs, each, "of a truncated sentence no end is among them")
        assert hypothesis.attention is not None
        shown = [history(image, (*prompt, *words[:t])) for t in range(len(words))]
        np.testing.assert_array_equal(hypothesis.attention, np.reshape(shown, (len(words), REGIONS)))
    rules = [MaxLength(longest, END)]
    closed = greedy(stepper, stepper.encode(range(3)), prompts, END, rules)
    drawn = sample(stepper, stepper.encode(range(3)), prompts, END, rules, 2, random, top_p=1e-9)
    assert [[h.tokens.tolist() for h in image] for image in drawn] == [[h.tokens.tolist()] * 2 for h in closed]


def test_an_empty_prompt_is_refused() -> None:
    stepper = FakeStepper([])
    for prompt in (np.zeros((2, 0), np.int64), np.array([START, START])):
        with pytest.raises(ValueError, match=r"found a prompt \[2.*\]; expected \[B, P\] with P >= 1"):
            greedy(stepper, stepper.encode([0, 1]), prompt, END, [])


@pytest.mark.parametrize("attention", [True, False])
def test_greedy_by_hand(attention: bool) -> None:
    lines = {(): {A: 0.4, B: 0.6}, (B,): {C: 0.5, A: 0.5}, (B, A): {END: 0.75, C: 0.25}}
    stepper = FakeStepper([script(VOCABULARY, lines)])
    (found,) = greedy(stepper, stepper.encode([0]), np.array([[START]]), END, [], attention)
    assert found.tokens.tolist() == [B, A], "of two that tie, the lower id"
    np.testing.assert_allclose(found.log_probs, np.log([0.6, 0.5, 0.75]), atol=1e-6)
    expected = [history(0, [START]), history(0, [START, B])] if attention else None
    assert np.array_equal(found.attention, expected) if attention else found.attention is None


def test_no_attention_from_a_network_without() -> None:
    stepper = FakeStepper([script(VOCABULARY, {(): {A: 1}, (A,): {END: 1}})], attention=False)
    assert greedy(stepper, stepper.encode([0]), np.array([[START]]), END, [], attention=True)[0].attention is None


def test_finished_images_leave_the_batch() -> None:
    def after(length: int) -> NextWord:
        return script(VOCABULARY, {**{(A,) * t: {A: 1.0} for t in range(length)}, (A,) * length: {END: 1}})

    everything = [[0, 1, 2, 3], [0, 2, 3], [0, 2], [2], [2]]
    lengths = [2, 0, 4, 1]
    stepper = FakeStepper([after(length) for length in lengths])
    memory, starts = stepper.encode(range(4)), np.full(4, START)
    assert [len(h.tokens) for h in greedy(stepper, memory, starts[:, None], END, [])] == lengths
    assert stepper.seen == everything
    stepper.grids.clear()
    found = sample(stepper, memory, starts[:, None], END, [], 3, np.random.default_rng(0))
    assert [[len(h.tokens) for h in image] for image in found] == [[length] * 3 for length in lengths]
    assert stepper.grids == [(everything[0], 1), *((images, 3) for images in everything[1:])]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("top_p", [1, 0.5])
def test_where_the_rules_leave_nothing_the_sentence_ends(top_p: float) -> None:
    lines = {(): {A: 1}, (A,): {B: 0.5, END: 0.5}, (A, B): {END: 1}}
    stepper = FakeStepper([script(VOCABULARY, lines)])
    memory, starts, random = stepper.encode([0]), np.array([START]), np.random.default_rng(0)
    for rules, words in (
        ([MinLength(99, END), MaxLength(2, END)], [A, B]),
        ([Ban([B]), MinLength(99, END)], [A]),
        ([Ban(range(VOCABULARY))], []),
    ):
        (found,) = greedy(stepper, memory, starts[:, None], END, rules)
        drawn = sample(stepper, memory, starts[:, None], END, rules, 2, random, top_p=top_p)[0]
        assert [h.tokens.tolist() for h in (found, *drawn)] == [words] * 3
    np.testing.assert_allclose(drawn[0].log_probs, [-np.inf])


@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(4)))
def test_greedy_does_not_depend_on_the_batch(seed: int, order: list[int]) -> None:
    random = np.random.default_rng(seed)
    stepper = FakeStepper([random_ngram(random, 7, 3) for _ in order])
    starts, rules = random.integers(7, size=len(order)), [MaxLength(8, END)]

    def found(images: list[int]) -> list[Hypothesis]:
        return greedy(stepper, stepper.encode(images), starts[images, None], END, rules, attention=True)

    for image, together in zip(order, found(order), strict=True):
        (alone,) = found([image])
        for name in ("tokens", "log_probs", "attention"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))


def chances(
    network: NextWord, start: int, rules: Sequence[AnyRule], reshape: Callable[[np.ndarray], np.ndarray]
) -> dict[Sentence, float]:
    """The probability of every sentence, by following every word that has any."""
    found: dict[Sentence, float] = {}
    unfinished: list[tuple[Sentence, float]] = [((), 1.0)]
    while unfinished:
        words, so_far = unfinished.pop()
        for word, chance in enumerate(reshape(np.exp(allowed(network, start, words, rules)))):
            if word == END:
                found[words] = so_far * chance
            elif chance > 0:
                unfinished.append(((*words, word), so_far * chance))
    return found


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampling_follows_the_distribution(temperature: float) -> None:
    random = np.random.default_rng(7)
    stepper = FakeStepper([random_ngram(random, 4, 3), random_ngram(random, 4, 3)])
    rules, starts, num = [Ban([1]), MinLength(1, END), MaxLength(3, END)], np.array([1, 2]), 4000
    found = sample(stepper, stepper.encode([0, 1]), starts[:, None], END, rules, num, random, temperature)

    def reshape(probabilities: np.ndarray) -> np.ndarray:
        powers = probabilities.astype(np.float64) ** (1 / temperature)
        return powers / powers.sum()

    for network, start, hypotheses in zip(stepper.networks, starts, found, strict=True):
        expected = chances(network, start, rules, reshape)
        counts = Counter(tuple(h.tokens.tolist()) for h in hypotheses)
        assert sum(expected.values()) == pytest.approx(1) and counts.keys() <= expected.keys()
        for words, chance in expected.items():
            assert abs(counts[words] / num - chance) <= 4 * np.sqrt(chance * (1 - chance) / num) + 1e-12


FIRST_WORDS = script(
    VOCABULARY,
    {
        (): {A: 0.15, B: 0.5, C: 0.05, D: 0.3},
        (A,): {END: 1},
        (B,): {END: 1},
        (C,): {END: 1},
        (D,): {END: 1},
    },
)


def shares(num: int = 4000, rules: Sequence[AnyRule] = (), **settings: Any) -> dict[int, float]:
    """How often `FIRST_WORDS` begins with each word."""
    stepper = FakeStepper([FIRST_WORDS])
    random = np.random.default_rng(11)
    (found,) = sample(stepper, stepper.encode([0]), np.array([[START]]), END, rules, num, random, **settings)
    return {word: count / num for word, count in sorted(Counter(int(h.tokens[0]) for h in found).items())}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {A: 0.15, B: 0.5, C: 0.05, D: 0.3}),
        # The most probable words that together reach the share, in their own proportions.
        ({"top_p": 0.01}, {B: 1}),
        ({"top_p": 0.49}, {B: 1}),
        ({"top_p": 0.51}, {B: 0.5 / 0.8, D: 0.3 / 0.8}),
        ({"top_p": 0.79}, {B: 0.5 / 0.8, D: 0.3 / 0.8}),
        ({"top_p": 0.81}, {A: 0.15 / 0.95, B: 0.5 / 0.95, D: 0.3 / 0.95}),
        ({"top_p": 0.96}, {A: 0.15, B: 0.5, C: 0.05, D: 0.3}),
        # Temperature 0.5 squares: 0.0225, 0.25, 0.0025, 0.09 of 0.365
        ({"temperature": 0.5}, {A: 0.0616, B: 0.6849, C: 0.0068, D: 0.2466}),
        ({"temperature": 0.01}, {B: 1}),
        ({"temperature": 1e9}, {A: 0.25, B: 0.25, C: 0.25, D: 0.25}),
        # The temperature comes first: B alone has 0.5 before and 0.68 after.
        ({"temperature": 0.5, "top_p": 0.6}, {B: 1}),
        # So do the rules: of what is left, D has 0.3 of 0.5.
        ({"rules": [Ban([B])]}, {A: 0.3, C: 0.1, D: 0.6}),
        ({"rules": [Ban([B])], "top_p": 0.55}, {D: 1}),
    ],
)
def test_temperature_and_top_p_by_hand(settings: dict[str, Any], expected: dict[int, float]) -> None:
    found = shares(**settings)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=0.025)


@given(seed=st.integers(0, 2**32 - 1))
def test_sampled_words_keep_the_network_s_own_log_probabilities(seed: int) -> None:
    random = np.random.default_rng(seed)
    stepper = FakeStepper([random_ngram(random, 6, 3) for _ in range(4)])
    rules, starts = [NoRepeatNgram(2), MaxLength(9, END)], np.array([1, 2, 3, 4])
    found = sample(stepper, stepper.encode(range(4)), starts[:, None], END, rules, 3, random, 1.5, 0.9, attention=True)
    for image, hypotheses in enumerate(found):
        assert len(hypotheses) == 3
        for hypothesis in hypotheses:
            check(hypothesis, image, stepper.networks[image], starts[image])
        longest = max(len(hypothesis.tokens) for hypothesis in hypotheses)
        assert sum(image in seen for seen in stepper.seen) == longest + 1, "an image leaves with its last sentence"


def test_rows_are_sampled_independently() -> None:
    """Not among the random examples: a network may be so sure that few sentences differ."""
    rng = np.random.default_rng(0)
    stepper = FakeStepper(
        [script(6, {(): {3: 0.5, 4: 0.5}, (3,): {END: 0.5, 5: 0.5}, (4,): {END: 1}, (3, 5): {END: 1}})]
    )
    (samples,) = sample(stepper, stepper.encode([0]), np.array([[1]]), END, [MaxLength(9, END)], 40, rng)
    assert {tuple(hypothesis.tokens.tolist()) for hypothesis in samples} == {(3,), (4,), (3, 5)}


@pytest.mark.parametrize("num", [1, 5])
def test_the_same_seed_draws_the_same(num: int) -> None:
    stepper = FakeStepper([random_ngram(np.random.default_rng(image), 6, 2) for image in range(4)])

    def drawn(seed: int) -> list[list[Sentence]]:
        random, rules = np.random.default_rng(seed), [MaxLength(6, END)]
        found = sample(stepper, stepper.encode(range(4)), np.full((4, 1), START), END, rules, num, random, 2.0)
        return [[tuple(h.tokens.tolist()) for h in image] for image in found]

    assert drawn(0) == drawn(0) != drawn(1)


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"temperature": -1.0}, {"top_p": 0}, {"top_p": 1.01}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected temperature > 0 and 0 < top_p <= 1"):
        shares(1, **wrong)
