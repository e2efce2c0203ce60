from pathlib import Path

import pytest
from tests.sentences import SENTENCES

from showtell.data.checks import Problem, caption_problem, check_samples
from showtell.data.scripts import script_counts, script_problem, wrong_script
from showtell.data.stats import compute_stats
from showtell.records import FeatureRow, Sample


@pytest.mark.parametrize(
    ("caption", "language", "problem"),
    [
        ("a dоg runs", "en", "Cyrillic 'о' in the Latin word 'dоg'"),
        ("cобака бежит", "ru", "Latin 'c' in the Cyrillic word 'cобака'"),
        ("ο σκύλoς", "el", "Latin 'o' in the Greek word 'σκύλoς'"),
        ("ein Ηund", "de", "Greek 'η' in the Latin word 'ηund'"),
        ("собака бежит", "en", "letters mostly Cyrillic; expected Latin, the script of en"),
        ("a dog runs", "ru", "letters mostly Latin; expected Cyrillic, the script of ru"),
        ("a dog runs", "ja", "letters mostly Latin; expected Chinese or Hiragana or Katakana, the script of ja"),
        ("ひらがな", "ko", "letters mostly Hiragana; expected Korean or Chinese, the script of ko"),
        ("pas trči", "sr", None),  # both scripts are Serbian
        ("пас трчи", "sr-Latn", "letters mostly Cyrillic; expected Latin, the script of sr-Latn"),
        ("穿T恤的人", "zh", None),
        ("犬がiPhoneを見る", "ja", None),
        ("собака с iPhone и CD-дисками, 3D-очки", "ru", None),
        ("a man in a Москва shirt", "en", None),  # a word of another script is quoted, no mistake
        ("a 5 µm Ω sign", "en", None),
        ("3 !", "en", None),
        ("Embwa дог", "lg", None),  # nothing is known of the language's scripts
        ("Embwa dоg", "lg", "Cyrillic 'о' in the Latin word 'dоg'"),
    ],
)
def test_scripts_of_a_caption(caption: str, language: str, problem: str | None) -> None:
    found = script_problem(caption, language)
    assert found is None if problem is None else found is not None and found.startswith(problem)


@pytest.mark.parametrize("language", SENTENCES)
def test_real_captions_have_no_problem(language: str) -> None:
    assert caption_problem(SENTENCES[language][0], language) is None


def test_the_check_names_the_photo_and_the_caption() -> None:
    samples = [Sample("a.jpg", FeatureRow(Path("a"), 0), ("ein Hund", "ein Hunд"), "train", "de")]
    assert check_samples(samples, lambda image: image).captions == (
        Problem("a.jpg", "a caption with Cyrillic 'д' in the Latin word 'hunд': 'ein Hunд'"),
    )


def test_the_script_of_all_captions_together() -> None:
    assert wrong_script(["كلب يجري", "a"], "en") == "Arabic"
    assert wrong_script(["كلب", "a dog runs"], "en") is None
    assert wrong_script([], "en") is wrong_script(["كلب"], "x-own") is None
    assert script_counts(["ab Я 1", "я"]) == {"Latn": 2, "Cyrl": 2}


def test_statistics_count_scripts_and_the_characters_of_languages_without_spaces() -> None:
    def sample(language: str, *captions: str) -> Sample:
        return Sample("a.jpg", Path("a.jpg"), captions, "train", language)

    chinese, german = compute_stats([sample("zh", "一只狗T恤", "猫"), sample("de", "ein Hund", "ЖЖ")]).groups
    assert (chinese.shortest, chinese.longest, chinese.unique_words) == (1, 5, 6)
    assert chinese.scripts == (("Hani", 5 / 6), ("Latn", 1 / 6))
    assert german.scripts == (("Latn", 7 / 9), ("Cyrl", 2 / 9)) and german.longest == 2
