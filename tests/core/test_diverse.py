"""Diverse beam search over a batch against a plain one over a single image, which is the specification: Python lists,
every log-probability and penalty recomputed from the sentence's first word, no early stop."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.test_beam import Limits, Sentence, limits, log_prob, networks, prompts, sentences
from tests.fake_stepper import FakeStepper, NextWord, history, random_ngram, script

from showtell.core.beam import beam_search
from showtell.core.diverse import diverse_beam_search
from showtell.core.rules import AnyRule, MinLength, NoRepeatNgram
from showtell.core.search import Hypothesis

END, START, A, B, C, D = 0, 1, 2, 3, 4, 5
VOCABULARY = 6


def plain_diverse_beam_search(
    network: NextWord,
    prompt: Sentence,
    vocabulary: int,
    limits: Limits,
    beam: int,
    groups: int,
    diversity: float,
    exponent: float,
) -> tuple[list[Sentence], int]:
    """All sentences of the groups' best, in order, their ends with them; and the step that none of them needs more
    than."""
    width = beam // groups
    said: list[list[tuple[int, int]]] = []  # of each step: who went on with which word, as (group, word)

    def ranks_by(group: int, sentence: Sentence) -> float:
        total = 0.0
        for t, word in enumerate(sentence):
            total += float(network((*prompt, *sentence[:t]))[word])
            before = [other for other, its in said[t] if other < group and its == word]
            total -= diversity * len(before) if word != limits.end else 0
        return total

    unfinished: list[list[Sentence]] = [[()] for _ in range(groups)]
    finished: list[list[tuple[float, Sentence]]] = [[] for _ in range(groups)]
    enough = 0
    for step in range(1, limits.longest + 1):
        said.append([])
        ended: list[Sentence] = []
        can_change = False
        for group in range(groups):
            continuations = []
            for rank, words in enumerate(unfinished[group]):
                for token in range(vocabulary):
                    total, sentence = ranks_by(group, (*words, token)), (*words, token)
                    if limits.allow(words, token) and total > -np.inf and sentence not in ended:
                        continuations.append((-total, rank, token, sentence))
            best = [(-negative, sentence) for negative, _, _, sentence in sorted(continuations)]
            ends = [(total, sentence) for total, sentence in best[:width] if limits.is_finished(sentence)]
            goes_on = [(total, sentence) for total, sentence in best if sentence[-1] != limits.end][:width]
            finished[group] += [(total / len(sentence) ** exponent, sentence) for total, sentence in ends]
            finished[group].sort(key=lambda entry: -entry[0])
            unfinished[group] = [sentence for _, sentence in goes_on]
            ended += [sentence for _, sentence in ends if sentence in [its for _, its in finished[group][:width]]]
            said[-1] += [(group, sentence[-1]) for _, sentence in goes_on]
            hopes = [] if step == limits.longest else [total / limits.longest**exponent for total, _ in goes_on]
            full = len(finished[group]) >= width
            can_change |= bool(hopes) and not (full and max(hopes) <= finished[group][width - 1][0])
        if not enough and not can_change:
            enough = step

    def value(sentence: Sentence) -> float:
        return log_prob(network, prompt, sentence) / len(sentence) ** exponent

    kept = [[sentence for _, sentence in pool[:width]] for pool in finished]
    bests, others = [s for pool in kept for s in pool[:1]], [s for pool in kept for s in pool[1:]]
    return sorted(bests, key=lambda s: -value(s)) + sorted(others, key=lambda s: -value(s)), enough


@given(data=st.data())
def test_equals_the_plain_search(data: st.DataObject) -> None:
    vocabulary = data.draw(st.integers(3, 8), "vocabulary")
    about = data.draw(networks(vocabulary))
    rules = data.draw(limits(vocabulary), "limits")
    starts = data.draw(prompts(vocabulary, len(about)), "prompts")
    groups, width = data.draw(st.integers(1, 4), "groups"), data.draw(st.integers(1, 3), "width")
    diversity = data.draw(st.sampled_from([0, 0.5, 1, 2.3]), "diversity")
    beam = groups * width
    num = data.draw(st.integers(1, beam), "num")
    exponent = data.draw(st.sampled_from([0, 0.5, 0.7, 1, 1.5]), "exponent")

    stepper = FakeStepper(about)
    memory, end, longest = stepper.encode(range(len(about))), rules.end, rules.max_length
    what = stepper, memory, np.array(starts), end, rules.rules(), beam
    found = diverse_beam_search(*what, groups, diversity, longest, exponent, num, True, rules.truncate)

    assert len(found) == len(about)
    for image, network, prompt, hypotheses in zip(memory, about, map(tuple, starts), found, strict=True):
        expected, enough = plain_diverse_beam_search(
            network, prompt, vocabulary, rules, beam, groups, diversity, exponent
        )
        assert sentences(hypotheses, end) == expected[:num]
        assert len(set(expected)) == len(expected), "no sentence twice"
        for hypothesis, sentence in zip(hypotheses, expected, strict=False):
            each = [network((*prompt, *sentence[:t]))[word] for t, word in enumerate(sentence)]
            np.testing.assert_array_equal(hypothesis.log_probs, each, "the network's own, without penalties")
            assert hypothesis.attention is not None and hypothesis.attention.shape[0] == len(hypothesis.tokens)
            for t, row in enumerate(hypothesis.attention):
                np.testing.assert_array_equal(row, history(image, (*prompt, *sentence[:t])))
        steps = enough + len(prompt) - 1
        assert sum(image in seen for seen in stepper.seen) == steps, "no step too few, and none too many"


@given(data=st.data())
def test_one_group_is_beam_search(data: st.DataObject) -> None:
    about, rules = data.draw(networks(6)), data.draw(limits(6))
    beam, diversity = data.draw(st.integers(1, 5), "beam"), data.draw(st.sampled_from([0, 1]), "diversity")
    ours, theirs = FakeStepper(about), FakeStepper(about)
    memory, starts = ours.encode(range(len(about))), np.ones(len(about), np.int64)
    what, how = (
        (memory, starts[:, None], rules.end, rules.rules(), beam),
        (rules.max_length, 0.7, beam, False, rules.truncate),
    )
    plain, grouped = beam_search(theirs, *what, *how), diverse_beam_search(ours, *what, 1, diversity, *how)
    assert ours.grids == theirs.grids
    for one, other in zip(grouped, plain, strict=True):
        assert sorted(sentences(one, rules.end)) == sorted(sentences(other, rules.end))
        assert sentences(one[:1], rules.end) == sentences(other[:1], rules.end)


def search(
    stepper: FakeStepper, beam: int, groups: int, diversity: float, num: int = 1, exponent: float = 0, **more: Any
) -> list[list[Hypothesis]]:
    """All images of the stepper, without rules but the greatest length."""
    rules: list[AnyRule] = more.pop("rules", [])
    images = stepper.encode(range(len(stepper.networks)))
    starts = np.full(len(images), START)
    return diverse_beam_search(
        stepper, images, starts[:, None], END, rules, beam, groups, diversity, 8, exponent, num, **more
    )


# The first group says A C (0.6 * 0.7). ln 0.6 = -0.51, ln 0.3 = -1.20, ln 0.1 = -2.30; ln 0.7 = -0.36, ln 0.2 = -1.61
CROSSROADS = script(
    VOCABULARY,
    {
        (): {A: 0.6, B: 0.3, D: 0.1},
        **{(first,): {C: 0.7, D: 0.2, END: 0.1} for first in (A, B, D)},
        **{(first, second): {END: 1} for first in (A, B, D) for second in (C, D)},
    },
)


@pytest.mark.parametrize(
    ("diversity", "expected"),
    [
        # -0.51 - 0.5 is above -1.20: A again; then -0.36 - 0.5 is above -1.61: C again, which has been said. At its
        # end the sentence is a repetition, and there is nothing else to say.
        (0.5, [(A, C, END)]),
        # -0.51 - 1 is below -1.20: B; -0.36 - 1 is above -1.61: C
        (1, [(A, C, END), (B, C, END)]),
        # B, and -0.36 - 1.5 is below -1.61: D
        (1.5, [(A, C, END), (B, D, END)]),
    ],
)
def test_by_hand(diversity: float, expected: list[Sentence]) -> None:
    (found,) = search(FakeStepper([CROSSROADS]), 2, 2, diversity, num=2)
    assert sentences(found, END) == expected
    for hypothesis, sentence in zip(found, expected, strict=True):
        own = {(A, C, END): [0.6, 0.7, 1], (B, C, END): [0.3, 0.7, 1], (B, D, END): [0.3, 0.2, 1]}[sentence]
        np.testing.assert_allclose(hypothesis.log_probs, np.log(own), atol=1e-6)


def test_every_use_counts() -> None:
    """A costs the third group twice as much as the second: -0.51 - 0.6 is above -1.20, -0.51 - 1.2 is below."""
    (found,) = search(FakeStepper([CROSSROADS]), 3, 3, 0.6, num=3)
    assert [hypothesis.tokens[0] for hypothesis in found] == [A, B]
    # And a group of two has two words to count: A and B cost 1.5 each, so D, at -2.30, is the best of the second group.
    (found,) = search(FakeStepper([CROSSROADS]), 4, 2, 1.95, num=2)
    assert [hypothesis.tokens[0] for hypothesis in found] == [A, D]


@pytest.mark.parametrize("word", [START, C, D])
def test_a_group_with_nothing_left_to_say_costs_nothing(word: int) -> None:
    """A can only end. The second group says B and then what it likes best, whatever stands in the first one's place."""
    other = B if word == C else C
    network = script(
        VOCABULARY,
        {
            (): {A: 0.6, B: 0.4},
            (A,): {END: 1},
            (B,): {word: 0.6, other: 0.4},
            **{(B, after): {END: 1} for after in (word, other)},
        },
    )
    (found,) = search(FakeStepper([network]), 2, 2, 1, num=2)
    assert sentences(found, END) == [(A, END), (B, word, END)]


def test_the_best_of_every_group_come_first() -> None:
    """A B C, in the order of their probabilities: 0.4 0.3 from the first group, 0.2 0.1 from the second."""
    network = script(
        VOCABULARY,
        {(): {A: 0.4, B: 0.3, C: 0.2, D: 0.1}, **{(word,): {END: 1} for word in (A, B, C, D)}},
    )
    (found,) = search(FakeStepper([network]), 4, 2, 5, num=4)
    assert sentences(found, END) == [(A, END), (C, END), (B, END), (D, END)]
    (found,) = search(FakeStepper([network]), 4, 2, 5, num=2)
    assert sentences(found, END) == [(A, END), (C, END)]


def test_the_order_is_by_what_the_network_says() -> None:
    """A greedy first group goes astray, and the second finds the better sentence, whatever it cost there."""
    network = script(
        VOCABULARY,
        {(): {A: 0.6, B: 0.4}, (A,): {C: 0.5, D: 0.5}, (A, C): {END: 1}, (A, D): {END: 1}, (B,): {END: 1}},
    )
    (found,) = search(FakeStepper([network]), 2, 2, 1, num=2)
    assert sentences(found, END) == [(B, END), (A, C, END)]


def test_a_repetition_gives_way_to_the_next_best() -> None:
    """Both groups would end at once; only the first may."""
    network = script(VOCABULARY, {(): {END: 0.7, A: 0.2, B: 0.1}, (A,): {END: 1}, (B,): {END: 1}})
    (found,) = search(FakeStepper([network]), 3, 3, 2, num=3)
    assert sentences(found, END) == [(END,), (A, END), (B, END)]


def test_finished_images_leave_the_batch() -> None:
    def after(length: int) -> NextWord:
        """A or B, then so many words in all."""
        lines = {(): {A: 0.6, B: 0.4}}
        for t in range(1, length):
            lines |= {(first,) + (C,) * (t - 1): {C: 1.0} for first in (A, B)}
        lines |= {(first,) + (C,) * (length - 1): {END: 1.0} for first in (A, B)}
        return script(VOCABULARY, lines)

    stepper = FakeStepper([after(2), after(1), after(4)])
    found = search(stepper, 2, 2, 1, num=2)
    assert [[len(hypothesis.tokens) for hypothesis in each] for each in found] == [[2, 2], [1, 1], [4, 4]]
    assert stepper.grids == [([0, 1, 2], 1), ([0, 1, 2], 2), ([0, 2], 2), ([2], 2), ([2], 2)]


@settings(max_examples=settings().max_examples // 3)  # an example is five searches
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(4)), width=st.integers(1, 2))
def test_a_result_does_not_depend_on_the_batch(seed: int, order: list[int], width: int) -> None:
    random = np.random.default_rng(seed)
    stepper = FakeStepper([random_ngram(random, 7, 3) for _ in order])
    starts = random.integers(7, size=len(order))

    def found(images: Sequence[int]) -> list[list[Hypothesis]]:
        rules = [MinLength(2, END), NoRepeatNgram(2)]
        what = stepper, stepper.encode(images), starts[images, None], END, rules, 3 * width
        return diverse_beam_search(*what, 3, 0.7, 7, 0.7, num=3 * width, attention=True)

    for image, hypotheses in zip(order, found(order), strict=True):
        (alone,) = found([image])
        assert len(alone) == len(hypotheses)
        for one, other in zip(alone, hypotheses, strict=True):
            np.testing.assert_array_equal(one.tokens, other.tokens)
            np.testing.assert_array_equal(one.log_probs, other.log_probs)
            np.testing.assert_array_equal(one.attention, other.attention)


def test_no_attention_unless_asked_for() -> None:
    assert search(FakeStepper([CROSSROADS]), 4, 2, 1)[0][0].attention is None


def test_nothing_to_say() -> None:
    assert search(FakeStepper([]), 4, 2, 1) == []
    assert search(FakeStepper([CROSSROADS]), 4, 2, 1, rules=[MinLength(9, END)]) == [[]]
