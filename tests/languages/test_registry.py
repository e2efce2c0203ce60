import unicodedata

import pytest

from showtell.languages import canonical_tag, is_right_to_left, known_languages, language_info
from showtell.languages.scripts import scripts_of

KALB = "\u0643\u0644\u0628"  # dog


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("ar", f"{KALB} {KALB}", True),
        ("ar", "", True),
        ("ar-EG", "bmx", True),
        ("fa_IR", "12", True),
        ("he", "bmx", True),
        ("AR", "", True),
        ("en", f"a sign that says {KALB}", False),
        ("en", f"{KALB} on a sign", False),
        ("de-DE", "", False),
        ("az-Arab-IR", "", True),
        ("az", "", False),
        ("ks-Deva", "", False),
        ("ks", "", True),
        ("pa-PK", "", True),
        ("pa-IN", "", False),
        ("pnb", "", True),
        ("", f"a sign that says {KALB}", False),
        ("", f"12 ( {KALB} on a sign", True),
        ("und", KALB, True),
        ("", "12 \u0661", False),
        ("", "", False),
    ],
)
def test_the_direction_is_that_of_script_then_language_then_first_letter(
    language: str, text: str, expected: bool
) -> None:
    assert is_right_to_left(language, text) is expected


def test_every_file_of_the_registry_is_named_by_its_canonical_tag_and_says_what_the_language_is_called() -> None:
    assert {"en", "ar", "de"} <= set(known_languages()) and len(known_languages()) >= 50
    for tag in known_languages():
        info = language_info(tag)
        assert canonical_tag(tag) == tag == info.tag
        assert info.name and info.english_name[0].isupper() and info.scripts
        assert scripts_of(info.name) <= {*info.scripts, "Latn"}, tag


@pytest.mark.parametrize("tag", known_languages())
def test_words_of_the_registry_are_lower_case_words_in_the_scripts_of_their_language(tag: str) -> None:
    info = language_info(tag)
    words = [*info.function_words, *info.bad_endings, *info.mirrored_words, *info.mirrored_words.values()]
    assert all(word == unicodedata.normalize("NFC", word).lower() for word in words)
    assert scripts_of("".join(words)) <= set(info.scripts)
    swapped = list(info.mirrored_words.values())
    assert len({*info.mirrored_words, *swapped}) == 2 * len(swapped), "every word has one counterpart"
    assert info.bad_endings <= info.function_words or tag in ("ar", "ko", "zh")


def test_a_language_without_a_file_has_defaults() -> None:
    info = language_info("lg")
    assert (info.name, info.english_name, info.scripts, info.is_unspaced) == ("lg", "lg", (), False)
    assert not info.function_words and not info.bad_endings and not info.mirrored_words and not info.letters
    assert info.attention_legend is None and info.attention_note is None


def test_the_most_specific_file_holds_and_the_script_subtag_decides() -> None:
    assert language_info("de-AT").name == "Deutsch (AT)"
    assert language_info("de-AT").function_words == language_info("de").function_words
    assert language_info("zh-Hant-TW").english_name == "Traditional Chinese (TW)"
    assert language_info("zh-Hans").scripts == ("Hani",)
    assert language_info("sr-Latn").scripts == ("Latn",) and language_info("sr").scripts == ("Cyrl", "Latn")
    assert language_info("th").is_unspaced and language_info("ja").is_unspaced and not language_info("ko").is_unspaced


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("Ünïcode, ß!", {"Latn"}),
        ("а a", {"Cyrl", "Latn"}),  # the first is Cyrillic
        ("Ｆｕｌｌ ｶﾅ", {"Latn", "Kana"}),
        ("一々〆 ひらカー", {"Hani", "Hira", "Kana"}),
        ("3 – ʼ ·", set()),
        (
            "한국 ไทย ລາວ ខ្មែរ မြန် हिं বাং தமி አማ ქარ Հայ עב عر ελ",
            {
                *("Hang", "Thai", "Laoo", "Khmr", "Mymr", "Deva", "Beng", "Taml", "Ethi", "Geor", "Armn", "Hebr"),
                "Arab",
                "Grek",
            },
        ),
    ],
)
def test_the_script_of_letters(text: str, scripts: set[str]) -> None:
    assert scripts_of(text) == scripts
