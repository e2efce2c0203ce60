import pytest

from showtell.config import apply_overrides, parse_recipe
from showtell.errors import BadConfig
from showtell.languages import canonical_tag
from showtell.languages.tags import fallbacks, lenient_tag


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        # Examples of RFC 5646, appendix A, and their other spellings.
        ("de", "de"),
        ("DE", "de"),
        ("zh_hant", "zh-Hant"),
        ("zh-cmn-hans-cn", "zh-Hans-CN"),
        ("sr_LATN_rs", "sr-Latn-RS"),
        ("sl-rozaj-biske", "sl-rozaj-biske"),
        ("de-ch-1901", "de-CH-1901"),
        ("hy-latn-it-arevela", "hy-Latn-IT-arevela"),
        ("pt_br", "pt-BR"),
        ("es-419", "es-419"),
        ("de-ch-x-phonebk", "de-CH-x-phonebk"),
        ("x-whatever", "x-whatever"),
        ("en-US-u-islamcal", "en-US-u-islamcal"),
        # Withdrawn codes, three letters in place of two, extended subtags that are languages.
        ("iw", "he"),
        ("in-ID", "id-ID"),
        ("deu", "de"),
        ("zh-yue", "yue"),
        ("yue", "yue"),
    ],
)
def test_the_canonical_form(written: str, canonical: str) -> None:
    assert canonical_tag(written) == canonical
    assert canonical_tag(canonical) == canonical


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "an empty tag"),
        ("german", "'german' is a name and no code"),
        ("Deutsch", "'deutsch' is a name and no code"),
        ("e", "'e' is no code of two or three letters"),
        ("i-klingon", "'i' is no code"),
        ("12", "'12' is no code"),
        ("de--AT", "an empty part"),
        ("de-", "an empty part"),
        ("de_DE.UTF-8", "'de.utf' is more than letters and digits"),
        ("en ", "'en ' is more than letters and digits"),
        ("en,ar", "'en,ar' is more than letters and digits"),
        ("dé", "'dé' is more than letters and digits"),
        ("de-AT-Latn", "'at-latn' is not script, region and variants in this order"),
        ("de-abcdefghi", "'abcdefghi' has more than 8 characters"),
    ],
)
def test_what_is_no_tag_is_refused_with_the_reason(written: str, problem: str) -> None:
    with pytest.raises(ValueError, match="expected a BCP 47 language tag, such as en or pt-BR") as caught:
        canonical_tag(written)
    assert problem in str(caught.value) and repr(written) in str(caught.value)
    assert lenient_tag(written) == written


def test_ever_more_general_tags() -> None:
    assert list(fallbacks("zh-Hant-TW")) == ["zh-Hant-TW", "zh-Hant", "zh"]


def test_languages_of_a_recipe_are_canonical_and_norwegian_is_not_false() -> None:
    raw = apply_overrides({}, ["text.languages=[no, pt_br, sw]"])
    assert parse_recipe(raw, "test").text.languages == ("no", "pt-BR", "sw")
    with pytest.raises(BadConfig, match=r"text\.languages\.1: .*'german' is a name and no code") as caught:
        parse_recipe({"text": {"languages": ["en", "german"]}}, "test")
    assert "\n" not in str(caught.value)
    with pytest.raises(BadConfig, match=r"text: .*found en in languages more than once"):
        parse_recipe({"text": {"languages": ["en", "de", "EN"]}}, "test")
