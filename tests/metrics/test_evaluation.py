from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from tests import skips
from tests.sentences import SENTENCES

from showtell.errors import BadConfig, BadData
from showtell.metrics import Evaluation, score
from showtell.metrics.evaluation import agreement
from showtell.metrics.tokenization import ptb_tokenize, tokenize

Captions = dict[str, list[str]]


def judge(candidates: Captions, references: Captions) -> tuple[dict[str, float], dict[str, list[float]]]:
    """pycocoevalcap on tokens joined by spaces, as the COCO challenge runs it: corpus scores, and per image."""
    reason = skips.PACKAGES
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason=reason).Bleu(4)
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge", reason=reason).Rouge()
    cider = pytest.importorskip("pycocoevalcap.cider.cider", reason=reason).Cider()
    bleus, image_bleus = bleu.compute_score(references, candidates, verbose=0)
    rouge_l, image_rouge = rouge.compute_score(references, candidates)
    cider_d, image_cider = cider.compute_score(references, candidates)
    names = [*(f"BLEU-{n}" for n in (1, 2, 3, 4)), "ROUGE-L", "CIDEr"]
    return (
        dict(zip(names, map(float, [*bleus, rouge_l, cider_d]), strict=True)),
        {name: list(scores) for name, scores in zip(names, [*image_bleus, image_rouge, image_cider], strict=True)},
    )


def check(
    candidates: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    tokenizer: Callable[[str], str],
    language: str = "en",
) -> None:
    """Our scores equal pycocoevalcap's on the same tokens, of the corpus and of each image."""
    expected, expected_per_image = judge(
        {name: [tokenizer(caption)] for name, caption in candidates.items()},
        {name: [tokenizer(caption) for caption in captions] for name, captions in references.items()},
    )
    evaluation = Evaluation(candidates, references, language)
    scores = evaluation.scores
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    for name, values in expected_per_image.items():
        np.testing.assert_allclose(evaluation.per_image[name], values, rtol=0, atol=1e-9, err_msg=name)


def test_equal_to_pycocoevalcap_on_written_captions(written: tuple[dict[str, str], Captions]) -> None:
    check(*written, lambda caption: " ".join(ptb_tokenize(caption)))


@pytest.fixture(scope="module")
def java_tokens(
    flickr8k: dict[str, Captions], dev_names: list[str], java_tokenize: Callable[[list[str]], list[str]]
) -> Callable[[str], str]:
    """What pycocoevalcap's tokenizer makes of the dev captions; of anything else, its words as they are."""
    captions = [caption for name in dev_names for caption in flickr8k["en"][name]]
    result = dict(zip(captions, java_tokenize(captions), strict=True))
    return lambda caption: result.get(caption, caption)


def test_a_human_caption_against_the_other_four(
    flickr8k: dict[str, Captions], dev_names: list[str], java_tokens: Callable[[str], str]
) -> None:
    """All 1,000 dev photos, with the tokens of the Java program; each of the five captions is held out in turn."""
    candidates, references = {}, {}
    for index, name in enumerate(dev_names):
        human = list(flickr8k["en"][name])
        candidates[name] = human.pop(index % 5)
        references[name] = human
    check(candidates, references, java_tokens)


def test_captions_of_any_length_against_any_number_of_references(
    flickr8k: dict[str, Captions], dev_names: list[str], java_tokens: Callable[[str], str]
) -> None:
    """Nothing, one word, 200 words, broken off, of another photo; 1 to 20 references."""
    draw = random.Random(0)
    all_captions = [caption for name in dev_names for caption in flickr8k["en"][name]]
    candidates, references = {}, {}
    for index, name in enumerate(dev_names[:240]):  # 4 times each of the 60 combinations
        plain = java_tokens(flickr8k["en"][name][0]).split()
        many = [word for caption in draw.sample(all_captions, 30) for word in java_tokens(caption).split()]
        kinds = ([], plain[:1], many[:200], plain[: len(plain) // 2], many[:11], plain)
        candidates[name] = " ".join(kinds[index % len(kinds)])
        references[name] = [*flickr8k["en"][name], *draw.sample(all_captions, 15)][: index % 20 + 1]
    check(candidates, references, java_tokens)


def test_equal_to_pycocoevalcap_on_flickr8k_in_arabic(flickr8k: dict[str, Captions], dev_names: list[str]) -> None:
    captions = {name: flickr8k["ar"][name] for name in dev_names}
    candidates = {name: human[0] for name, human in captions.items()}
    references = {name: human[1:] for name, human in captions.items()}
    check(candidates, references, lambda caption: " ".join(tokenize(caption, "ar")), "ar")


def test_equal_to_pycocoevalcap_on_flickr8k_in_german(flickr8k: dict[str, Captions], dev_names: list[str]) -> None:
    """Some of the photos have no German captions."""
    captions = {name: flickr8k["de"][name] for name in dev_names if flickr8k["de"][name]}
    assert 900 < len(captions) < len(dev_names)
    candidates = {name: human[0] for name, human in captions.items()}
    references = {name: human[1:] for name, human in captions.items()}
    check(candidates, references, lambda caption: " ".join(tokenize(caption, "de")), "de")


@pytest.mark.parametrize("language", ["zh", "ja", "th", "km", "hi", "bn", "ko", "he", "el", "am", "ru"])
def test_equal_to_pycocoevalcap_in_other_scripts(language: str) -> None:
    """On the words that the registry's rule makes of a sentence: without its beginning, doubled, shuffled."""
    text = SENTENCES[language][0]
    half = len(text) // 2
    references = {"a": [text, text[half:]], "b": [text[:half], text[::2]], "c": [text + text], "d": ["A dog 3"]}
    candidates = {"a": text, "b": text[half:], "c": text, "d": ""}
    check(candidates, references, lambda caption: " ".join(tokenize(caption, language)), language)


def test_a_language_of_which_nothing_is_known_has_no_metrics_of_function_words() -> None:
    scores = score({"a": "embwa edduka"}, {"a": ["embwa edduka ku muddo"]}, "lg")
    assert not {"bad_endings", "content_recall"} & set(scores) and scores["BLEU-1"] > 0
    german = score({"a": "ein hund und der"}, {"a": ["Ein Hund rennt."]}, "de")
    assert german["bad_endings"] == 1 and german["content_recall"] == 0.5


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
            **{"unique": 1, "distinct-1": 9 / 10, "distinct-2": 1, "vocab_size": 9},
        }
    )


def test_what_more_is_known_gives_more_scores(written: tuple[dict[str, str], Captions]) -> None:
    candidates, references = written
    alternatives = {name: [caption, "Two dogs play."] for name, caption in candidates.items()}
    result = Evaluation(
        candidates, references, alternatives=alternatives, training_captions=["a woman crosses the street", "a dog"]
    )
    assert result.scores["novelty"] == pytest.approx(4 / 5)  # the woman crosses the street, with a full stop
    assert result.per_image["novelty"].tolist() == [1, 1, 1, 1, 0]
    assert 0 < result.scores["self-CIDEr"] <= 1


def bootstrap_by_hand(candidates: dict[str, str], references: Captions, name: str, seed: int) -> tuple[float, float]:
    """Every draw scored anew, image by image: the specification, for scores that are means."""
    per_image = Evaluation(candidates, references).per_image[name]
    random_numbers = np.random.default_rng(seed)
    draws = [np.mean(random_numbers.choice(per_image, len(per_image))) for _ in range(4000)]
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
    candidates = dict(list(many[0].items())[:80])
    references = {name: many[1][name] for name in candidates}
    random_numbers = np.random.default_rng(1)
    result = []
    for _ in range(120):
        drawn = enumerate(random_numbers.choice(list(candidates), len(candidates)))
        pairs = [(f"{index}", name) for index, name in drawn]
        result.append(score({k: candidates[n] for k, n in pairs}, {k: references[n] for k, n in pairs})["BLEU-4"])
    low, high = np.quantile(result, [0.025, 0.975])
    estimate = Evaluation(candidates, references).estimates()["BLEU-4"]
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.3 * (high - low))


def test_estimates_are_repeatable_and_have_every_score(many: tuple[dict[str, str], Captions]) -> None:
    result, again = Evaluation(*many).estimates(), Evaluation(*many).estimates()
    assert {name: estimate.value for name, estimate in result.items()} == pytest.approx(score(*many), rel=1e-12)
    # No caption is there twice, and no word once only.
    assert np.isnan([result.pop(name).low for name in ("unique", "vocab_size")]).all()
    assert result.items() <= again.items()
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in result.values())


def test_one_image_says_nothing_of_others() -> None:
    result = Evaluation({"a.jpg": "a dog"}, {"a.jpg": ["a dog"]}).estimates()["BLEU-1"]
    assert result.value == pytest.approx(1) and np.isnan([result.low, result.high]).all()


def test_a_worse_system_is_found_worse_and_an_equal_one_equal(many: tuple[dict[str, str], Captions]) -> None:
    candidates, references = many
    broken = {name: " ".join(caption.split()[:-2]) for name, caption in candidates.items()}
    whole, cut = Evaluation(candidates, references), Evaluation(broken, references)
    result = cut.difference(whole)
    assert result["CIDEr"].value == pytest.approx(cut.scores["CIDEr"] - whole.scores["CIDEr"])
    assert result["CIDEr"].high < 0 and result["CIDEr"].p_value < 0.01
    assert result["length"].value == pytest.approx(-2, abs=0.05)
    backwards = whole.difference(cut)["CIDEr"]
    assert (backwards.value, backwards.low) == pytest.approx((-result["CIDEr"].value, -result["CIDEr"].high))
    to_itself = whole.difference(Evaluation(candidates, references)).values()
    assert all(difference.value == 0 and difference.p_value == 1 for difference in to_itself)


def test_pairs_are_surer_than_two_intervals(many: tuple[dict[str, str], Captions]) -> None:
    """What is hard for both systems does not blur their difference."""
    candidates, references = many
    worse = {n: c if index % 10 else "a dog" for index, (n, c) in enumerate(candidates.items())}
    one, other = Evaluation(candidates, references), Evaluation(worse, references)
    apart = [system.estimates()["CIDEr"] for system in (one, other)]
    assert apart[0].low < apart[1].high  # the intervals overlap
    assert other.difference(one)["CIDEr"].high < 0  # and yet


def test_systems_of_different_images_are_not_compared() -> None:
    one, other = ({n: "a dog" for n in names} for names in ("ab", "ac"))
    systems = [Evaluation(captions, {n: ["a dog"] for n in captions}) for captions in (one, other)]
    with pytest.raises(BadData, match="found captions of other images, or in another order"):
        systems[0].difference(systems[1])


def test_one_image_has_differences_of_unknown_error() -> None:
    one, other = (Evaluation({"a": caption}, {"a": ["a dog runs"]}) for caption in ("a dog", "a dog runs"))
    result = other.difference(one)["BLEU-1"]
    assert result.value > 0 and np.isnan([result.low, result.high, result.p_value]).all()


def test_agreement_is_the_mean_over_pairs() -> None:
    assert agreement([["a dog runs", "a cat"], ["a dog runs", "the man"]], "en").tolist() == [1, 0]
    three = agreement([["a dog"], ["a dog"], ["the man"]], "en")
    assert three.tolist() == pytest.approx([1 / 3])  # one of three pairs


@pytest.mark.parametrize("also", [{"alternatives": {"a": ["x"]}}, {"teacher_forced": {"a": (1, 1, 0.5)}}])
def test_what_is_there_for_some_captions_only_is_refused(also: dict[str, Any]) -> None:
    with pytest.raises(BadData, match="found none for b"):
        Evaluation({"a": "x", "b": "y"}, {"a": ["x"], "b": ["y"]}, **also)


def test_top_5_and_loss_are_per_word_not_per_image() -> None:
    teacher_forced = {"a": (10, 10, 5.0), "b": (30, 0, 95.0), "c": (0, 0, 0.0)}
    captions = {name: "a dog" for name in teacher_forced}
    result = Evaluation(captions, {name: ["a dog"] for name in captions}, teacher_forced=teacher_forced)
    assert (result.scores["top-5"], result.scores["loss"]) == pytest.approx((10 / 40, 100 / 40))
    assert result.per_image["top-5"].tolist() == [1, 0, 0]


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
    with pytest.raises(BadConfig, match="found 'deutsch', where 'deutsch' is a name"):
        score({"a": "ein Hund"}, {"a": ["ein Hund"]}, language="deutsch")


def test_importing_is_light() -> None:
    """Only numpy and what it needs; nothing that trains, captions or compares with pycocoevalcap."""
    code = "import sys, showtell.metrics; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "numpy" in loaded
    heavy = {"torch", "onnxruntime", "timm", "lightning_fabric", "pycocoevalcap", "pydantic", "PIL", "typer"}
    assert not loaded & heavy
