import pytest

from showtell.languages import is_right_to_left

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
