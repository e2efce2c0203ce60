"""The page that compares systems, in languages of any script."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.view.test_comparison import report, row

from showtell.view.comparison import write_page


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    complaints: list[str] = []
    pages = []

    def opened(content: dict[str, Any]) -> Any:
        write_page(tmp_path / "page.html", content, {})
        page = browser.new_page()
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((tmp_path / "page.html").as_uri())
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert not complaints


def shared(page: Any) -> list[str]:
    return list(page.locator(".caption b").all_text_contents())


@pytest.mark.parametrize(
    ("language", "caption", "reference", "expected"),
    [
        # Marks that are the vowels: दिन is a day, दान a gift.
        ("hi", "दिन में कुत्ता", "दान का कुत्ता", ["कुत्ता"]),
        ("th", "หมาวิ่ง", "หมู", ["ห"]),  # a letter with its marks
        ("zh-Hans", "一只狗在跑", "狗跑了", ["狗", "跑"]),
        ("ja", "犬がTシャツ", "Tシャツの犬", ["犬", "T", "シ", "ャ", "ツ"]),
        ("ar", "فَتاة تركض", "فتاة", ["فَتاة"]),  # which are optional in Arabic
        ("he", "כלב לבן", "לבן", ["לבן"]),
        ("tr", "ILIK İyi", "ılık iyi", ["ILIK", "İyi"]),
        ("ko", "개가 달린다", "달린다", ["달린다"]),
        ("vi", "một con chó", "con chó", ["con", "chó"]),
        ("am", "ውሻ ይሮጣል", "ውሻ", ["ውሻ"]),
    ],
)
def test_words_of_a_reference_are_set_apart(
    open_page: Callable[..., Any], language: str, caption: str, reference: str, expected: list[str]
) -> None:
    page = open_page(report([row("a.jpg", (0.1, 0.2), captions=[caption, "x"], references=[reference])], language))
    assert shared(page) == expected
    assert page.locator(".caption").first.get_attribute("lang") == language
    direction = page.locator(".caption").first.evaluate("element => getComputedStyle(element).direction")
    assert direction == ("rtl" if language in ("ar", "he") else "ltr")


@pytest.mark.parametrize(
    ("language", "name"),
    [("de", "German"), ("zh-Hans", "Chinese (Hans)"), ("tlh", "tlh"), ("", ""), ("x_y z", "x_y z")],
)
def test_the_language_has_its_english_name(open_page: Callable[..., Any], language: str, name: str) -> None:
    page = open_page(report([row("a.jpg", (0.1, 0.2))], language))
    assert f"1 photo · {name}" in page.locator("#facts").inner_text()


def test_letters_of_other_scripts_are_larger(open_page: Callable[..., Any]) -> None:
    page = open_page(report([row("a.jpg", (0.1, 0.2), captions=["狗", "dog"])], "zh"))
    sizes = page.locator(".caption").evaluate_all("all => all.map((caption) => getComputedStyle(caption).fontSize)")
    assert sizes == ["17px", "15px"]
