"""Beam search over a batch against a plain one over a single image, which is the specification: Python lists, every
log-probability recomputed from the sentence's first word, no early stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fake_stepper import REGIONS, FakeStepper, NextWord, history, random_ngram, script

from showtell.core.beam import beam_search
from showtell.core.rules import AnyRule, Ban, MaxLength, MinLength, NoBadEnding, NoRepeatNgram
from showtell.core.search import Hypothesis, greedy

Sentence = tuple[int, ...]

END, START, A, B, C = 0, 1, 2, 3, 4
VOCABULARY = 5


@dataclass(frozen=True)
class Limits:
    """What a sentence may say, decided by looking at the whole sentence; and the rules that should say the same."""

    end: int
    max_length: int
    min_length: int = 0
    banned: tuple[int, ...] = ()
    ngram: int = 0
    bad_endings: tuple[int, ...] = ()
    truncate: bool = False

    @property
    def longest(self) -> int:
        """The end included."""
        return self.max_length + (not self.truncate)

    def is_finished(self, sentence: Sentence) -> bool:
        return sentence[-1] == self.end or (self.truncate and len(sentence) == self.longest)

    def allow(self, words: Sentence, token: int) -> bool:
        if token in self.banned:
            return False
        if token == self.end:
            return len(words) >= self.min_length and not (words and words[-1] in self.bad_endings)
        longer = (*words, token)
        if len(longer) > self.max_length or (len(longer) == self.max_length and token in self.bad_endings):
            return False
        ngrams = [longer[t : t + self.ngram] for t in range(len(longer) - self.ngram + 1)] if self.ngram else []
        return len(ngrams) == len(set(ngrams))

    def rules(self) -> list[AnyRule]:
        rules: list[AnyRule] = [Ban(self.banned), MinLength(self.min_length, self.end)]
        rules += [NoRepeatNgram(self.ngram)] if self.ngram else []
        rules += [NoBadEnding(self.bad_endings, self.end, self.max_length)] if self.bad_endings else []
        return rules


def log_prob(network: NextWord, prompt: Sentence, sentence: Sentence) -> float:
    total = 0.0
    for t, word in enumerate(sentence):
        total += float(network((*prompt, *sentence[:t]))[word])
    return total


def plain_beam_search(
    network: NextWord,
    prompt: Sentence,
    vocabulary: int,
    limits: Limits,
    beam: int,
    exponent: float,
    num: int,
    heuristic: bool = False,
) -> tuple[list[Sentence], int]:
    """All sentences that it finished, best first, their ends with them; and the step that none of the best `num` needs
    more than. With `heuristic` it ends there, or when it has `beam` sentences that are better than what is unfinished
    would be if it ended now."""
    unfinished: list[Sentence] = [()]
    finished: list[tuple[float, Sentence]] = []
    enough = 0
    for step in range(1, limits.longest + 1):
        continuations = []
        for rank, words in enumerate(unfinished):
            for token in range(vocabulary):
                total = log_prob(network, prompt, (*words, token))
                if limits.allow(words, token) and total > -np.inf:
                    continuations.append((-total, rank, token))
        continuations.sort()
        best = [(-negative, (*unfinished[rank], token)) for negative, rank, token in continuations]
        ended = [(total / len(sentence) ** exponent, sentence) for total, sentence in best[:beam]]
        finished += [(value, sentence) for value, sentence in ended if limits.is_finished(sentence)]
        finished.sort(key=lambda entry: -entry[0])
        goes_on = [(total, words) for total, words in best if not limits.is_finished(words)][:beam]
        unfinished = [words for _, words in goes_on]
        hopes = [total / limits.longest**exponent for total, _ in goes_on]
        if not enough and (not hopes or (len(finished) >= num and max(hopes) <= finished[num - 1][0])):
            enough = step
        hopes = [total / (step + 1) ** exponent for total, _ in goes_on]
        if heuristic and (enough or (len(finished) >= beam and max(hopes) <= finished[beam - 1][0])):
            return [sentence for _, sentence in finished], step
    return [sentence for _, sentence in finished], enough


def sentences(hypotheses: Sequence[Hypothesis], end: int) -> list[Sentence]:
    """With their ends, which truncated ones lack."""
    return [(*h.tokens.tolist(), *([end] if len(h.log_probs) > len(h.tokens) else [])) for h in hypotheses]


@st.composite
def limits(draw: st.DrawFn, vocabulary: int) -> Limits:
    """All rules on and off, and such as contradict each other."""
    end = draw(st.integers(0, vocabulary - 1))
    words = st.sampled_from([token for token in range(vocabulary) if token != end])
    some = st.just(()) | st.lists(words, max_size=vocabulary // 2, unique=True).map(tuple)
    return Limits(
        end,
        max_length=draw(st.integers(2, 7)),
        min_length=draw(st.integers(0, 4)),
        banned=draw(some),
        ngram=draw(st.integers(0, 3)),
        bad_endings=draw(some),
        truncate=draw(st.booleans()),
    )


def prompts(vocabulary: int, images: int) -> st.SearchStrategy[list[list[int]]]:
    """Of one length for all images."""
    words = st.integers(0, vocabulary - 1)
    sentences = st.integers(1, 3).map(lambda n: st.lists(words, min_size=n, max_size=n))
    return sentences.flatmap(lambda sentence: st.lists(sentence, min_size=images, max_size=images))


@st.composite
def networks(draw: st.DrawFn, vocabulary: int) -> list[NextWord]:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, grain, impossible = draw(st.integers(1, 4)), draw(st.sampled_from([0, 0.5, 2])), draw(st.sampled_from([0, 0.2]))
    return [random_ngram(random, vocabulary, n, grain, impossible) for _ in range(draw(st.integers(1, 4)))]


@given(data=st.data())
def test_equals_the_plain_search(data: st.DataObject) -> None:
    vocabulary = data.draw(st.integers(3, 8), "vocabulary")
    about = data.draw(networks(vocabulary))
    rules = data.draw(limits(vocabulary), "limits")
    starts = data.draw(prompts(vocabulary, len(about)), "prompts")
    beam = data.draw(st.integers(1, 5), "beam")
    num = data.draw(st.integers(1, beam), "num")
    exponent = data.draw(st.sampled_from([0, 0.5, 0.7, 1, 1.5]), "exponent")
    heuristic = data.draw(st.booleans(), "heuristic")

    stepper = FakeStepper(about)
    memory, end, longest = stepper.encode(range(len(about))), rules.end, rules.max_length
    found = beam_search(
        *(
            stepper,
            memory,
            np.array(starts),
            end,
            rules.rules(),
            beam,
            longest,
            exponent,
            num,
            True,
            rules.truncate,
            heuristic,
        )
    )

    assert len(found) == len(about)
    for image, network, prompt, hypotheses in zip(memory, about, map(tuple, starts), found, strict=True):
        expected, enough = plain_beam_search(network, prompt, vocabulary, rules, beam, exponent, num, heuristic)
        assert sentences(hypotheses, end) == expected[:num]
        for hypothesis, sentence in zip(hypotheses, expected, strict=False):
            assert hypothesis.log_prob == pytest.approx(log_prob(network, prompt, sentence), abs=1e-5)
            each = [network((*prompt, *sentence[:t]))[word] for t, word in enumerate(sentence)]
            np.testing.assert_array_equal(hypothesis.log_probs, each)
            assert hypothesis.attention is not None and hypothesis.attention.shape[0] == len(hypothesis.tokens)
            for t, row in enumerate(hypothesis.attention):
                np.testing.assert_array_equal(row, history(image, (*prompt, *sentence[:t])))
        steps = enough + len(prompt) - 1
        assert sum(image in seen for seen in stepper.seen) == steps, "no step too few, and none too many"


@given(data=st.data())
def test_a_beam_as_wide_as_everything_finds_everything(data: st.DataObject) -> None:
    vocabulary, longest = data.draw(st.sampled_from([(3, 5), (4, 3), (5, 2)]), "vocabulary and length")
    rules = Limits(END, longest, data.draw(st.integers(0, 2)), ngram=data.draw(st.integers(0, 2)))
    exponent = data.draw(st.floats(0, 1.5), "exponent")
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    # Networks that remember the whole sentence, so that no two sentences tie.
    about, starts = [random_ngram(random, vocabulary, longest + 2) for _ in range(2)], [1, 2]
    everything = [
        (*words, END)
        for length in range(longest + 1)
        for words in product(range(1, vocabulary), repeat=length)
        if all(rules.allow(words[:t], word) for t, word in enumerate((*words, END)))
    ]

    stepper, width = FakeStepper(about), vocabulary**longest
    found = beam_search(
        stepper,
        stepper.encode([0, 1]),
        np.array(starts)[:, None],
        END,
        rules.rules(),
        width,
        longest,
        exponent,
        num=width,
    )

    for network, start, hypotheses in zip(about, starts, found, strict=True):
        values = {words: log_prob(network, (start,), words) / len(words) ** exponent for words in everything}
        assert sentences(hypotheses, END) == sorted(everything, key=lambda words: -values[words])


@given(seed=st.integers(0, 2**32 - 1), grain=st.sampled_from([0, 0.5]), ngram=st.integers(0, 2))
def test_a_beam_of_one_that_only_sums_is_greedy(seed: int, grain: float, ngram: int) -> None:
    random = np.random.default_rng(seed)
    stepper = FakeStepper([random_ngram(random, 6, 3, grain) for _ in range(3)])
    rules = Limits(END, 9, min_length=2, banned=(1,), ngram=ngram).rules()
    memory, starts = stepper.encode(range(3)), np.array([1, 2, 3])
    greedily = greedy(stepper, memory, starts[:, None], END, [*rules, MaxLength(9, END)])
    for hypothesis, (best,) in zip(
        greedily, beam_search(stepper, memory, starts[:, None], END, rules, 1, 9), strict=True
    ):
        np.testing.assert_array_equal(hypothesis.tokens, best.tokens)
        np.testing.assert_array_equal(hypothesis.log_probs, best.log_probs)


def search(stepper: FakeStepper, beam: int, num: int = 1, exponent: float = 0, **more: Any) -> list[list[Hypothesis]]:
    """All images of the stepper, without rules but the greatest length."""
    rules, longest = more.pop("rules", []), more.pop("max_length", 8)
    images = stepper.encode(range(len(stepper.networks)))
    starts = np.full(len(images), START)
    return beam_search(stepper, images, starts[:, None], END, rules, beam, longest, exponent, num, **more)


# A is the best first word, but B begins the best sentence: B 0.4, A C 0.3, A B 0.3
GARDEN_PATH = script(
    VOCABULARY,
    {(): {A: 0.6, B: 0.4}, (A,): {B: 0.5, C: 0.5}, (A, B): {END: 1}, (A, C): {END: 1}, (B,): {END: 1}},
)


def test_by_hand() -> None:
    (found,) = search(FakeStepper([GARDEN_PATH]), beam=2, num=2)
    assert sentences(found, END) == [(B, END), (A, B, END)], "and of the two that tie, the lower id"
    np.testing.assert_allclose(found[0].log_probs, np.log([0.4, 1]), atol=1e-6)
    np.testing.assert_allclose(found[1].log_probs, np.log([0.6, 0.5, 1]), atol=1e-6)
    assert found[1].log_prob == pytest.approx(np.log(0.3)) and found[1].score == pytest.approx(np.log(0.3) / 3)


def test_the_exponent_favours_longer_sentences() -> None:
    # ln 0.4 / 2 = -0.458 and ln 0.3 / 3 = -0.401; with exponent 0.5: -0.648 and -0.695
    for exponent, best in ((0, (B, END)), (0.5, (B, END)), (1, (A, B, END))):
        (found,) = search(FakeStepper([GARDEN_PATH]), beam=3, exponent=exponent)
        assert sentences(found, END) == [best]


def test_ends_are_finished_only_among_the_best() -> None:
    network = script(VOCABULARY, {(): {A: 0.5, B: 0.3, END: 0.2}, (A,): {END: 1}, (B,): {END: 1}})
    (found,) = search(FakeStepper([network]), beam=2, num=2)
    assert sentences(found, END) == [(A, END), (B, END)]
    (found,) = search(FakeStepper([network]), beam=3, num=3)
    assert sentences(found, END) == [(A, END), (B, END), (END,)]


def test_it_goes_on_as_long_as_a_longer_sentence_may_rank_higher() -> None:
    network = script(VOCABULARY, {(): {END: 0.55, A: 0.45}, (A,): {B: 1}, (A, B): {END: 1}})
    stopped, longer = FakeStepper([network]), FakeStepper([network])
    assert sentences(search(stopped, beam=1)[0], END) == [(END,)]
    assert len(stopped.seen) == 1, "0.45 is less than 0.55 for good"
    # ln 0.55 / 1 = -0.598, but ln 0.45 / 3 = -0.266
    assert sentences(search(longer, beam=1, exponent=1)[0], END) == [(A, B, END)]
    assert len(longer.seen) == 3


def test_finished_images_leave_the_batch() -> None:
    def after(length: int) -> NextWord:
        """So many words, the last of them A or B."""
        last = (A,) * (length - 1)
        lines = {(A,) * t: {A: 1.0} for t in range(length - 1)}
        return script(VOCABULARY, {**lines, last: {A: 0.6, B: 0.4}, (*last, A): {END: 1}, (*last, B): {END: 1}})

    stepper = FakeStepper([after(3), after(1), after(5), after(3)])
    found = search(stepper, beam=2, num=2)
    assert [[len(hypothesis.tokens) for hypothesis in hypotheses] for hypotheses in found] == [
        [3, 3],
        [1, 1],
        [5, 5],
        [3, 3],
    ]
    assert stepper.grids == [
        ([0, 1, 2, 3], 1),
        ([0, 1, 2, 3], 2),
        ([0, 2, 3], 2),
        ([0, 2, 3], 2),
        ([2], 2),
        ([2], 2),
    ]


@settings(max_examples=settings().max_examples // 3)  # an example is five searches
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(4)))
def test_a_result_does_not_depend_on_the_batch(seed: int, order: list[int]) -> None:
    random = np.random.default_rng(seed)
    stepper = FakeStepper([random_ngram(random, 7, 3) for _ in order])
    starts = random.integers(7, size=len(order))

    def found(images: list[int]) -> list[list[Hypothesis]]:
        rules = [MinLength(2, END), NoRepeatNgram(2)]
        memory = stepper.encode(images)
        return beam_search(stepper, memory, starts[images, None], END, rules, 3, 7, 0.7, num=3, attention=True)

    together = found(order)
    for image, hypotheses in zip(order, together, strict=True):
        (alone,) = found([image])
        assert len(alone) == len(hypotheses)
        for one, other in zip(alone, hypotheses, strict=True):
            np.testing.assert_array_equal(one.tokens, other.tokens)
            np.testing.assert_array_equal(one.log_probs, other.log_probs)
            np.testing.assert_array_equal(one.attention, other.attention)


def test_attention_follows_the_beam_it_belongs_to() -> None:
    (found,) = search(FakeStepper([GARDEN_PATH]), beam=3, num=3, attention=True)
    expected = {
        (B, END): [[START]],
        (A, B, END): [[START], [START, A]],
        (A, C, END): [[START], [START, A]],
    }
    assert set(sentences(found, END)) == set(expected)
    for hypothesis, read in zip(found, (expected[words] for words in sentences(found, END)), strict=True):
        np.testing.assert_array_equal(hypothesis.attention, [history(0, words) for words in read])


def test_attention_of_a_sentence_without_words() -> None:
    (found,) = search(FakeStepper([script(VOCABULARY, {(): {END: 1}})]), beam=2, attention=True)
    assert found[0].tokens.shape == (0,) and found[0].attention is not None
    assert found[0].attention.shape == (0, REGIONS)


def test_no_attention_unless_asked_for_and_known() -> None:
    assert search(FakeStepper([GARDEN_PATH]), beam=2)[0][0].attention is None
    assert search(FakeStepper([GARDEN_PATH], attention=False), beam=2, attention=True)[0][0].attention is None


def test_fewer_sentences_than_asked_for_when_there_are_no_more() -> None:
    (found,) = search(FakeStepper([GARDEN_PATH]), beam=5, num=5)
    assert sentences(found, END) == [(B, END), (A, B, END), (A, C, END)]


def test_rules_that_contradict_each_other_leave_nothing() -> None:
    dead_end = script(VOCABULARY, {(): {A: 1}, (A,): {A: 1}})
    stepper = FakeStepper([GARDEN_PATH, dead_end])
    assert search(stepper, beam=2, rules=[MinLength(9, END)], max_length=8) == [[], []]
    assert search(stepper, beam=2, rules=[Ban(range(VOCABULARY))]) == [[], []]
    fine, nothing = search(stepper, beam=2, rules=[NoRepeatNgram(1)])
    assert sentences(fine, END) == [(B, END)] and nothing == []


def test_no_images() -> None:
    assert search(FakeStepper([]), beam=2) == []
