from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from showtell.errors import BadConfig, BadData
from showtell.metrics import Evaluation, score
from showtell.metrics.evaluation import agreement
from showtell.metrics.words import arabic_words, ptb_words

Captions = dict[str, list[str]]


def judge(candidates: Captions, references: Captions) -> tuple[dict[str, float], dict[str, list[float]]]:
    """pycocoevalcap on words joined by spaces, as the COCO challenge runs it: of all captions, and of each."""
    reason = "pycocoevalcap is not installed"
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason=reason).Bleu(4)
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge", reason=reason).Rouge()
    cider = pytest.importorskip("pycocoevalcap.cider.cider", reason=reason).Cider()
    bleus, each_bleu = bleu.compute_score(references, candidates, verbose=0)
    rouge_l, each_rouge = rouge.compute_score(references, candidates)
    cider_d, each_cider = cider.compute_score(references, candidates)
    names = [*(f"BLEU-{n}" for n in (1, 2, 3, 4)), "ROUGE-L", "CIDEr"]
    return (
        dict(zip(names, map(float, [*bleus, rouge_l, cider_d]), strict=True)),
        {name: list(each) for name, each in zip(names, [*each_bleu, each_rouge, each_cider], strict=True)},
    )


def check(
    candidates: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    words_of: Callable[[str], str],
    language: str = "en",
) -> None:
    """Ours are pycocoevalcap's on the same words, of all captions and of each."""
    values, each = judge(
        {name: [words_of(caption)] for name, caption in candidates.items()},
        {name: [words_of(caption) for caption in captions] for name, captions in references.items()},
    )
    ours = Evaluation(candidates, references, language)
    found = ours.values
    assert {name: found[name] for name in values} == pytest.approx(values, abs=1e-9)
    for name, expected in each.items():
        np.testing.assert_allclose(ours.each[name], expected, rtol=0, atol=1e-9, err_msg=name)


def test_equal_to_pycocoevalcap_on_written_captions(written: tuple[dict[str, str], Captions]) -> None:
    check(*written, lambda caption: " ".join(ptb_words(caption)))


@pytest.fixture(scope="module")
def words_by_java(
    flickr8k: dict[str, Captions], dev_names: list[str], java_words: Callable[[list[str]], list[str]]
) -> Callable[[str], str]:
    """What pycocoevalcap's tokenizer makes of the dev captions; of anything else, its words as they are."""
    captions = [caption for name in dev_names for caption in flickr8k["en"][name]]
    found = dict(zip(captions, java_words(captions), strict=True))
    return lambda caption: found.get(caption, caption)


@pytest.mark.parametrize("held_out", range(5))
def test_each_human_caption_against_the_other_four(
    held_out: int, flickr8k: dict[str, Captions], dev_names: list[str], words_by_java: Callable[[str], str]
) -> None:
    """All 1,000 dev photos, with the words of the Java program."""
    captions = {name: flickr8k["en"][name] for name in dev_names}
    candidates = {name: each[held_out] for name, each in captions.items()}
    references = {name: each[:held_out] + each[held_out + 1 :] for name, each in captions.items()}
    check(candidates, references, words_by_java)


def test_captions_of_any_length_against_any_number_of_references(
    flickr8k: dict[str, Captions], dev_names: list[str], words_by_java: Callable[[str], str]
) -> None:
    """Nothing, one word, 200 words, broken off, of another photo; 1 to 20 references."""
    draw = random.Random(0)
    every = [caption for name in dev_names for caption in flickr8k["en"][name]]
    candidates, references = {}, {}
    for place, name in enumerate(dev_names):
        plain = words_by_java(flickr8k["en"][name][0]).split()
        many = [word for caption in draw.sample(every, 30) for word in words_by_java(caption).split()]
        kinds = ([], plain[:1], many[:200], plain[: len(plain) // 2], many[:11], plain)
        candidates[name] = " ".join(kinds[place % len(kinds)])
        references[name] = [*flickr8k["en"][name], *draw.sample(every, 15)][: place % 20 + 1]
    check(candidates, references, words_by_java)


def test_equal_to_pycocoevalcap_on_flickr8k_in_arabic(flickr8k: dict[str, Captions], dev_names: list[str]) -> None:
    captions = {name: flickr8k["ar"][name] for name in dev_names}
    candidates = {name: each[0] for name, each in captions.items()}
    references = {name: each[1:] for name, each in captions.items()}
    check(candidates, references, lambda caption: " ".join(arabic_words(caption)), "ar")


def test_the_order_of_the_images_does_not_matter(written: tuple[dict[str, str], Captions]) -> None:
    candidates, references = written
    turned = dict(reversed(candidates.items()))
    assert score(turned, references) == pytest.approx(score(candidates, references), abs=1e-12)


def test_perfect_captions() -> None:
    captions = {"a.jpg": "A man rides a horse.", "b.jpg": "Two dogs play in snow."}
    assert score(captions, {name: [caption] for name, caption in captions.items()}) == pytest.approx(
        # "a man rides a horse" repeats a word of no other image, and everything is as in the reference.
        {
            **{"BLEU-1": 1, "BLEU-2": 1, "BLEU-3": 1, "BLEU-4": 1, "ROUGE-L": 1, "CIDEr": 10},
            **{"length": 5, "bad_endings": 0, "content_recall": 1},
            **{"different": 1, "distinct-1": 9 / 10, "distinct-2": 1, "vocabulary": 9},
        }
    )


def test_what_more_is_known_gives_more_scores(written: tuple[dict[str, str], Captions]) -> None:
    candidates, references = written
    alternatives = {name: [caption, "Two dogs play."] for name, caption in candidates.items()}
    found = Evaluation(
        candidates, references, alternatives=alternatives, training=["a woman crosses the street", "a dog"]
    )
    assert found.values["novelty"] == pytest.approx(4 / 5)  # the woman crosses the street, with a full stop
    assert found.each["novelty"].tolist() == [1, 1, 1, 1, 0]
    assert 0 < found.values["self-CIDEr"] <= 1


def bootstrap_by_hand(candidates: dict[str, str], references: Captions, name: str, seed: int) -> tuple[float, float]:
    """Every draw scored anew, image by image: the specification, for scores that are means."""
    each = dict(zip(candidates, Evaluation(candidates, references).each[name], strict=True))
    random_numbers = np.random.default_rng(seed)
    draws = [np.mean(random_numbers.choice(list(each.values()), len(each))) for _ in range(4000)]
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


@pytest.fixture
def many() -> tuple[dict[str, str], Captions]:
    """200 images that were captioned well or badly."""
    draw = random.Random(0)
    words = ["a", "the", "dog", "cat", "man", "runs", "sits", "on", "in", "red", "blue", "ball", "street"]
    references = {f"{n}.jpg": [" ".join(draw.choices(words, k=8)) for _ in range(3)] for n in range(200)}
    candidates = {
        name: " ".join(word for word in captions[0].split() if draw.random() < 0.8)
        for name, captions in references.items()
    }
    return candidates, references


@pytest.mark.parametrize("name", ["CIDEr", "ROUGE-L", "length", "content_recall"])
def test_intervals_are_those_of_resampled_images(name: str, many: tuple[dict[str, str], Captions]) -> None:
    candidates, references = many
    value, low, high = Evaluation(candidates, references).estimates(resamples=4000)[name]
    expected = bootstrap_by_hand(candidates, references, name, seed=1)
    assert value == pytest.approx(score(candidates, references)[name])
    assert (low, high) == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))


def test_the_interval_of_bleu_is_that_of_bleu_over_resampled_images(many: tuple[dict[str, str], Captions]) -> None:
    candidates, references = many
    random_numbers = np.random.default_rng(1)
    found = []
    for _ in range(120):
        drawn = enumerate(random_numbers.choice(list(candidates), len(candidates)))
        pairs = [(f"{place}", name) for place, name in drawn]
        found.append(score({k: candidates[n] for k, n in pairs}, {k: references[n] for k, n in pairs})["BLEU-4"])
    low, high = np.quantile(found, [0.025, 0.975])
    estimate = Evaluation(candidates, references).estimates()["BLEU-4"]
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.3 * (high - low))


def test_estimates_are_repeatable_and_have_every_score(many: tuple[dict[str, str], Captions]) -> None:
    found, again = Evaluation(*many).estimates(), Evaluation(*many).estimates()
    assert {name: estimate.value for name, estimate in found.items()} == score(*many)
    # No caption is there twice, and no word once only.
    assert np.isnan([found.pop(name).low for name in ("different", "vocabulary")]).all()
    assert found.items() <= again.items()
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in found.values())


def test_one_image_says_nothing_of_others() -> None:
    found = Evaluation({"a.jpg": "a dog"}, {"a.jpg": ["a dog"]}).estimates()["BLEU-1"]
    assert found.value == pytest.approx(1) and np.isnan([found.low, found.high]).all()


def test_a_worse_system_is_found_worse_and_an_equal_one_equal(many: tuple[dict[str, str], Captions]) -> None:
    candidates, references = many
    broken = {name: " ".join(caption.split()[:-2]) for name, caption in candidates.items()}
    whole, cut = Evaluation(candidates, references), Evaluation(broken, references)
    found = cut.less(whole)
    assert found["CIDEr"].value == pytest.approx(cut.values["CIDEr"] - whole.values["CIDEr"])
    assert found["CIDEr"].high < 0 and found["CIDEr"].p < 0.01
    assert found["length"].value == pytest.approx(-2, abs=0.05)
    backwards = whole.less(cut)["CIDEr"]
    assert (backwards.value, backwards.low) == pytest.approx((-found["CIDEr"].value, -found["CIDEr"].high))
    assert all(each.value == 0 and each.p == 1 for each in whole.less(Evaluation(candidates, references)).values())


def test_pairs_are_surer_than_two_intervals(many: tuple[dict[str, str], Captions]) -> None:
    """What is hard for both systems does not blur their difference."""
    candidates, references = many
    worse = {n: c if place % 10 else "a dog" for place, (n, c) in enumerate(candidates.items())}
    one, other = Evaluation(candidates, references), Evaluation(worse, references)
    apart = [system.estimates()["CIDEr"] for system in (one, other)]
    assert apart[0].low < apart[1].high  # the intervals overlap
    assert other.less(one)["CIDEr"].high < 0  # and yet


def test_systems_of_different_images_are_not_compared() -> None:
    one, other = ({n: "a dog" for n in names} for names in ("ab", "ac"))
    systems = [Evaluation(captions, {n: ["a dog"] for n in captions}) for captions in (one, other)]
    with pytest.raises(BadData, match="found captions of other images, or in another order"):
        systems[0].less(systems[1])


def test_one_image_has_differences_of_unknown_error() -> None:
    one, other = (Evaluation({"a": caption}, {"a": ["a dog runs"]}) for caption in ("a dog", "a dog runs"))
    found = other.less(one)["BLEU-1"]
    assert found.value > 0 and np.isnan([found.low, found.high, found.p]).all()


def test_agreement_is_the_mean_over_pairs() -> None:
    assert agreement([["a dog runs", "a cat"], ["a dog runs", "the man"]], "en").tolist() == [1, 0]
    three = agreement([["a dog"], ["a dog"], ["the man"]], "en")
    assert three.tolist() == pytest.approx([1 / 3])  # one of three pairs


@pytest.mark.parametrize("also", [{"alternatives": {"a": ["x"]}}, {"readings": {"a": (1, 1, 0.5)}}])
def test_what_is_there_for_some_captions_only_is_refused(also: dict[str, Any]) -> None:
    with pytest.raises(BadData, match="found none for b"):
        Evaluation({"a": "x", "b": "y"}, {"a": ["x"], "b": ["y"]}, **also)


def test_top_5_and_loss_are_per_word_not_per_image() -> None:
    readings = {"a": (10, 10, 5.0), "b": (30, 0, 95.0), "c": (0, 0, 0.0)}
    captions = {name: "a dog" for name in readings}
    found = Evaluation(captions, {name: ["a dog"] for name in readings}, readings=readings)
    assert (found.values["top-5"], found.values["loss"]) == pytest.approx((10 / 40, 100 / 40))
    assert found.each["top-5"].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({}, {}, "candidates: found no captions; expected at least one"),
        ({"a": "x", "b": "y"}, {"a": ["x"]}, "references: found none for b; expected references for each image"),
        ({"a": "x"}, {"a": ["x"], "b": ["y"]}, "candidates: found none for b; expected a caption for each image"),
        ({"a": "x"}, {n: ["y"] for n in "abcde"}, "candidates: found none for b, c, d and 1 more; expected"),
        ({"a": "x"}, {"a": []}, "references: found an empty list for a; expected at least one reference"),
        ({"a": "x"}, {"a": "x"}, "references: found a string for a; expected a list of strings"),
    ],
)
def test_captions_that_cannot_be_scored(candidates: dict[str, str], references: Captions, message: str) -> None:
    with pytest.raises(BadData) as caught:
        score(candidates, references)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_unknown_language() -> None:
    with pytest.raises(BadConfig, match="found language 'de'"):
        score({"a": "ein Hund"}, {"a": ["ein Hund"]}, language="de")


def test_importing_is_light() -> None:
    """Only numpy and what it needs; nothing that trains, captions or compares with pycocoevalcap."""
    code = "import sys, showtell.metrics; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "numpy" in loaded
    assert not loaded & {"torch", "onnxruntime", "timm", "lightning", "pycocoevalcap", "pydantic", "PIL", "typer"}
