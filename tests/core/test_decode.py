from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fake_stepper import REGIONS, FakeStepper, NextWord, logarithm, random_ngram

from showtell.core.beam import beam_search
from showtell.core.decode import build_rules, decode
from showtell.core.diverse import diverse_beam_search
from showtell.core.rules import Ban, MaxLength, MinLength, NoBadEnding, NoRepeatNgram
from showtell.core.search import greedy
from showtell.core.tokenizer import Tokenizer
from showtell.settings import DecodeSettings

TOKENIZER = Tokenizer.build(["a dog runs on the beach", "كلب"], ["en", "ar"], min_frequency=1)
FREE = DecodeSettings(beam_size=3, length_penalty=0, min_length=0, max_length=8, no_repeat_ngram_size=0)
"""No rule but the ban and the greatest length."""


def saying(lines: dict[str, dict[str, float]]) -> NextWord:
    """A network that knows these beginnings of sentences; `.` is the end, `<en>` and so on may be said, too."""
    written = {tuple(TOKENIZER.tokens_to_ids(words.split())): after for words, after in lines.items()}

    def next_word(read: tuple[int, ...]) -> np.ndarray:
        probabilities = np.zeros(TOKENIZER.vocab_size)
        for word, probability in written.get(read[1:], {".": 1.0}).items():
            probabilities[TOKENIZER.eos_id if word == "." else TOKENIZER.tokens_to_ids([word])[0]] = probability
        return logarithm(probabilities)

    return next_word


def captions(network: NextWord, settings: DecodeSettings, num: int = 1, language: str = "en") -> list[str]:
    stepper = FakeStepper([network])
    (found,) = decode(stepper, stepper.encode([0]), 1, TOKENIZER, language, settings, num)
    return [TOKENIZER.decode(hypothesis.tokens) for hypothesis in found]


def but(**changes: object) -> DecodeSettings:
    return FREE.model_copy(update=changes)


def test_rules_for() -> None:
    def kinds(settings: DecodeSettings) -> list[type]:
        return [type(rule) for rule in build_rules(settings, TOKENIZER)]

    assert kinds(FREE) == [Ban]
    everything = but(min_length=2, no_repeat_ngram_size=3, bad_endings=("the", "nonsense", "a"))
    assert kinds(everything) == [Ban, MinLength, NoRepeatNgram, NoBadEnding]
    ban, shortest, ngram, ending = build_rules(everything, TOKENIZER)
    assert ban.ids.ravel().tolist() == TOKENIZER.tokens_to_ids(["<pad>", "<unk>", "<en>", "<ar>"])
    assert (shortest.length, shortest.eos) == (2, TOKENIZER.eos_id)
    assert ngram.n == 3
    assert (ending.ids.tolist(), ending.eos, ending.max_length) == (
        TOKENIZER.tokens_to_ids(["the", "a"]),
        TOKENIZER.eos_id,
        8,
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    beam=st.integers(1, 4),
    groups=st.integers(1, 3),
    longest=st.integers(2, 6),
    ngram=st.integers(0, 2),
    language=st.sampled_from(["en", "ar"]),
)
def test_settings_reach_the_search(seed: int, beam: int, groups: int, longest: int, ngram: int, language: str) -> None:
    """`beam` 1 is greedy search, any other a beam search, with `groups` a diverse one, by the rules and numbers of the
    settings."""
    beam *= groups
    random = np.random.default_rng(seed)
    stepper = FakeStepper([random_ngram(random, TOKENIZER.vocab_size, 2) for _ in range(3)])
    settings = but(
        beam_size=beam,
        length_penalty=0.8,
        min_length=1,
        max_length=longest,
        no_repeat_ngram_size=ngram,
        num_beam_groups=groups,
        diversity_penalty=0.9,
    )
    memory, starts = stepper.encode(range(3)), np.array([TOKENIZER.prompt_ids(language)] * 3)
    rules = [Ban(TOKENIZER.banned_ids), MinLength(1, TOKENIZER.eos_id), *([NoRepeatNgram(ngram)] if ngram else [])]
    if beam == 1:
        greedily = greedy(
            stepper, memory, starts, TOKENIZER.eos_id, [*rules, MaxLength(longest, TOKENIZER.eos_id)], attention=True
        )
        expected = [[hypothesis] for hypothesis in greedily]
    else:
        what, how = (stepper, memory, starts, TOKENIZER.eos_id, rules, beam), (longest, 0.8, beam, True)
        expected = diverse_beam_search(*what, groups, 0.9, *how) if groups > 1 else beam_search(*what, *how)
    found = decode(stepper, memory, 3, TOKENIZER, language, settings, num=beam, attention=True)
    assert [len(hypotheses) for hypotheses in found] == [len(hypotheses) for hypotheses in expected]
    for one, other in zip(chain(*found), chain(*expected), strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.log_probs, other.log_probs)
        np.testing.assert_array_equal(one.attention, other.attention)
        assert one.attention is not None and one.attention.shape == (len(one.tokens), REGIONS)


def test_a_beam_finds_what_greedy_search_misses() -> None:
    network = saying({"": {"a": 0.6, "the": 0.4}, "a": {"dog": 0.6, "beach": 0.4}, "the": {"dog": 1}})
    assert captions(network, but(beam_size=1), num=3) == ["a dog"]
    assert captions(network, FREE, num=3) == ["the dog", "a dog", "a beach"]
    assert captions(network, FREE, num=2) == ["the dog", "a dog"]


def test_groups_say_different_things() -> None:
    network = saying({"": {"a": 0.7, "the": 0.3}, "a": {"dog": 0.6, "beach": 0.4}, "the": {"dog": 1}})
    assert captions(network, but(beam_size=2), num=2) == ["a dog", "the dog"]
    assert captions(network, but(beam_size=2, num_beam_groups=2, diversity_penalty=0.1), num=2) == ["a dog"]
    assert captions(network, but(beam_size=2, num_beam_groups=2, diversity_penalty=0.5), num=2) == ["a dog", "a beach"]
    assert captions(network, but(beam_size=2, num_beam_groups=2, diversity_penalty=1), num=2) == ["a dog", "the dog"]


def test_a_beam_that_its_groups_do_not_divide() -> None:
    assert DecodeSettings(beam_size=6, num_beam_groups=3).num_beam_groups == 3
    with pytest.raises(ValueError, match="beam_size 5 is no multiple of num_beam_groups 3"):
        DecodeSettings(beam_size=5, num_beam_groups=3)


@pytest.mark.parametrize("beam", [1, 3])
def test_special_words_are_never_written(beam: int) -> None:
    network = saying({"": {"<unk>": 0.5, "<pad>": 0.2, "<en>": 0.1, "<ar>": 0.1, "dog": 0.06, "a": 0.04}})
    assert captions(network, but(beam_size=beam))[0] == "dog"


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "a"),
        ({"min_length": 2}, "a dog"),
        ({"min_length": 3}, "a dog a"),
        ({"min_length": 4}, "a dog a dog"),
        ({"min_length": 4, "no_repeat_ngram_size": 2}, "a dog a beach"),
        ({"min_length": 4, "no_repeat_ngram_size": 3}, "a dog a dog"),
        ({"min_length": 3, "max_length": 3, "bad_endings": ("a", "dog")}, "a dog the"),
        ({"bad_endings": ("a", "cathedral")}, "a dog"),
    ],
)
def test_each_setting_bites(beam: int, changes: dict[str, object], expected: str) -> None:
    network = saying(
        {
            "": {"a": 1},
            "a": {".": 0.6, "dog": 0.4},
            "a dog": {".": 0.6, "a": 0.3, "the": 0.1},
            "a dog a": {".": 0.7, "dog": 0.2, "beach": 0.1},
        }
    )
    assert captions(network, but(beam_size=beam, **changes))[0] == expected


@pytest.mark.parametrize("beam", [1, 3])
def test_the_longest_sentence_is_closed(beam: int) -> None:
    def chatter(read: tuple[int, ...]) -> np.ndarray:
        probabilities = np.full(TOKENIZER.vocab_size, 0.001)
        probabilities[TOKENIZER.tokens_to_ids(["dog"])] = 0.9
        return logarithm(probabilities)

    stepper = FakeStepper([chatter])
    ((best,),) = decode(
        stepper, stepper.encode([0]), 1, TOKENIZER, "en", but(beam_size=beam, max_length=3, min_length=3)
    )
    assert TOKENIZER.decode(best.tokens) == "dog dog dog"
    np.testing.assert_allclose(best.log_probs, np.log([0.9, 0.9, 0.9, 0.001]), atol=1e-5)


@pytest.mark.parametrize("beam", [1, 3])
def test_the_language_is_the_start_token(beam: int) -> None:
    english, arabic = saying({"": {"dog": 1}}), saying({"": {"كلب": 1}})

    def bilingual(read: tuple[int, ...]) -> np.ndarray:
        return {TOKENIZER.prompt_ids("en")[0]: english, TOKENIZER.prompt_ids("ar")[0]: arabic}[read[0]](read)

    assert captions(bilingual, but(beam_size=beam), language="en") == ["dog"]
    assert captions(bilingual, but(beam_size=beam), language="ar") == ["كلب"]


def test_settings_that_contradict_each_other_come_to_an_end() -> None:
    network = random_ngram(np.random.default_rng(0), TOKENIZER.vocab_size, 2)
    assert captions(network, but(min_length=9)) == []
    (greedily,) = captions(network, but(beam_size=1, min_length=9))
    assert len(greedily.split()) == 8 and "<" not in greedily
