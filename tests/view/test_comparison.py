import base64
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from showtell.view.comparison import thumbnail, write_page

HOSTILE = "</script><!--<script><img src=x onerror='window.harmed = 1'>&amp;\u2028\u2029'\"`"


def photo(colour: str = "olive", size: tuple[int, int] = (64, 48)) -> bytes:
    return thumbnail(Image.new("RGB", size, colour))


def row(name: str, ciders: tuple[float | None, ...], agreement: float = 0.5, **others: Any) -> dict[str, Any]:
    captions = [f"system {position} says {name}" for position in range(len(ciders))]
    scores = [{"CIDEr": value, "ROUGE-L": (position + 1) * 0.1} for position, value in enumerate(ciders)]
    fields = {"image": name, "references": ["a dog runs"], "captions": captions, "scores": scores}
    return {**fields, "agreement": agreement, **others}


def report(rows: list[dict[str, Any]], language: str = "en") -> dict[str, Any]:
    """One in which the second system's CIDEr is surely higher and its BLEU-4 is not; `different` has no interval."""
    first = {"BLEU-4": {"value": 0.2, "low": 0.1, "high": 0.3}, "CIDEr": {"value": 0.5, "low": 0.4, "high": 0.6}}
    gain = {"CIDEr": {"value": 0.1, "low": 0.05, "high": 0.15, "p_value": 0.0001}}
    none = {"BLEU-4": {"value": -0.01, "low": -0.03, "high": 0.01, "p_value": 0.25}}
    count = len(rows[0]["captions"])
    systems = [
        {"name": f"model {position}", "scores": first, "differences": {**gain, **none} if position else None}
        for position in range(count)
    ]
    systems[0] = {**systems[0], "scores": {**first, "different": {"value": 0.71, "low": None}}}
    facts = {"language": language, "images": len(rows), "resamples": 10000, "confidence_level": 0.95}
    return {**facts, "systems": systems, "rows": rows}


FIVE = [  # gains 0.1, -0.4, 0.6, 0.1, none
    row("b.jpg", (0.4, 0.5), 0.9),
    row("a.jpg", (0.5, 0.1), 0.2),
    row("e.jpg", (0.2, 0.8), 0.4),
    row("d.jpg", (0.8, 0.9), 1.0),
    row("c.jpg", (None, 0.9), 0.3),
]
THREE_SYSTEMS = [row("a.jpg", (0.1, 0.9, 0.2)), row("b.jpg", (0.5, 0.6, 0.9)), row("c.jpg", (0.9, 0.7, 0.8))]


class Blocks(HTMLParser):
    """What a parser that knows HTML, but not this page, finds in its script elements, by id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = str(dict(attrs).get("id", "program")) if tag == "script" else ""
        if self.inside:
            self.texts[self.inside] = ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[self.inside] += data


# ---- the file


def test_the_data_come_through_unchanged_whatever_they_are(tmp_path: Path) -> None:
    hostile = row(HOSTILE, (0.1, 0.2), references=[HOSTILE, "كلب"], captions=[HOSTILE, "half a pair \ud83d"])
    write_page(tmp_path / "page.html", report([hostile, row("b.jpg", (0, 1))]), {HOSTILE: b"\x00\xff", "other": b"x"})
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    blocks = Blocks(html).texts
    assert json.loads(blocks["comparison"])["rows"][0] == hostile
    assert set(blocks) == {"comparison", "program", "photo-0", "photo-1"}
    assert base64.b64decode(blocks["photo-0"]) == b"\x00\xff" and blocks["photo-1"] == ""
    assert "<" not in blocks["comparison"] and "\u2028" not in html


@pytest.mark.parametrize("problem", ["number", "thumbnail"])
def test_a_page_that_fails_leaves_the_old_one(problem: str, tmp_path: Path) -> None:
    class Failing(dict[str, bytes]):
        def get(self, *_: Any) -> Any:
            raise OSError("the photo is gone")

    page = tmp_path / "page.html"
    page.write_text("old")
    rows = [row("a.jpg", (float("nan") if problem == "number" else 0.1, 0.2))]
    with pytest.raises(ValueError if problem == "number" else OSError):
        write_page(page, report(rows), Failing() if problem == "thumbnail" else {})
    assert page.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_thumbnails_can_be_made_on_demand(tmp_path: Path) -> None:
    asked = []

    class Making(Mapping[str, bytes]):
        def __getitem__(self, name: str) -> bytes:
            asked.append(name)
            if name == "c.jpg":
                raise KeyError(name)
            return name.encode()

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("all names at once")

        __len__ = __iter__  # type: ignore[assignment]

    write_page(tmp_path / "page.html", report(FIVE), Making())
    assert asked == [row["image"] for row in FIVE]
    blocks = Blocks((tmp_path / "page.html").read_text(encoding="utf-8")).texts
    assert base64.b64decode(blocks["photo-2"]) == b"e.jpg" and blocks["photo-4"] == ""


@pytest.mark.parametrize(("mode", "size", "small"), [("RGB", (1600, 1200), (320, 240)), ("P", (300, 900), (107, 320))])
def test_a_thumbnail_is_a_small_webp(mode: str, size: tuple[int, int], small: tuple[int, int]) -> None:
    image = Image.new(mode, size)
    with Image.open(io.BytesIO(thumbnail(image))) as copy:
        assert (copy.format, copy.size) == ("WEBP", small)
    assert image.size == size
    with Image.open(io.BytesIO(photo(size=(40, 30)))) as copy:
        assert copy.size == (40, 30)  # nothing is made larger than it is


# ---- in a browser


Open = Callable[..., Any]
NATURAL_WIDTH = "async image => { await image.decode(); return image.naturalWidth; }"


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Write and open a page; afterwards nothing may have complained, and nothing asked for but the file itself."""
    complaints: list[str] = []
    asked: set[str] = set()
    contexts = []

    def opened(
        content: dict[str, Any], photos: Mapping[str, bytes] | None = None, hash: str = "", **options: Any
    ) -> Any:
        file = tmp_path / "page.html"
        write_page(file, content, {row["image"]: photo() for row in content["rows"]} if photos is None else photos)
        contexts.append(browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.partition(":")[0]))
        page.goto(file.as_uri() + hash)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints
    assert asked <= {"file", "data"}


def names(page: Any) -> str:
    """The first letters of the cards in order: `abc`."""
    return "".join(text[0] for text in page.locator(".card .image-name").all_text_contents())


def choice(page: Any, label: str) -> Any:
    return page.get_by_role("combobox", name=label)


def test_orders(open_page: Open) -> None:
    page = open_page(report(FIVE))
    assert names(page) == "ebdac"  # the gain at first; equal ones as in the data, without a number last
    orders = {"loss": "abdec", "disagreement": "acebd", "best": "debac", "worst": "abedc", "data": "baedc"}
    for order, expected in orders.items():
        choice(page, "Order").select_option(order)
        assert names(page) == expected, order
    choice(page, "Order").select_option("loss")
    choice(page, "Score").select_option("ROUGE-L")
    assert names(page) == "baedc"  # ROUGE-L gains as much everywhere


def test_scores_and_differences_of_a_photo(open_page: Open) -> None:
    page = open_page(report(FIVE), hash="#sort=data")
    lines = [re.sub(r"\s+", " ", text) for text in page.locator(".card .scores").all_inner_texts()]
    assert lines[:4] == ["model 0 0.40", "model 1 0.50 +0.10", "model 0 0.50", "model 1 0.10 −0.40"]
    assert lines[-2:] == ["model 0 –", "model 1 0.90"]


def test_the_table_marks_what_excludes_zero_in_words_and_signs(open_page: Open) -> None:
    page = open_page(report(FIVE))
    assert page.title() == page.locator("h1").inner_text() == "model 0 and model 1"
    assert "5 photos · English · 95 % intervals from 10,000 resamples" in page.locator("#facts").inner_text()
    first, second = (r.locator("td").all_inner_texts() for r in page.locator("tbody tr").all())
    assert [" ".join(cell.split()) for cell in first] == ["0.200 0.100 to 0.300", "0.500 0.400 to 0.600", "0.710"]
    unsure, sure, absent = (" ".join(cell.split()) for cell in second)
    assert unsure.endswith("−0.010 −0.030 to 0.010 p = 0.250") and "▼" not in unsure
    assert sure.endswith("▲ +0.100 (the interval excludes 0) 0.050 to 0.150 p < 0.001")
    assert absent == "–"
    weights = page.locator("td .difference > span").evaluate_all("all => all.map(e => getComputedStyle(e).fontWeight)")
    assert weights == ["400", "700"]


def test_any_two_of_three_systems(open_page: Open) -> None:
    page = open_page(report(THREE_SYSTEMS))
    assert names(page) == "abc"  # 1 less 0: 0.8, 0.1, -0.2
    choice(page, "To system").select_option("model 2")
    assert names(page) == "bac"  # 2 less 0: 0.1, 0.4, -0.1
    choice(page, "From system").select_option("model 1")
    assert names(page) == "bca"  # 2 less 1: -0.7, 0.3, 0.1
    changes = page.locator(".card").first.locator(".score-change").all_text_contents()
    assert changes == ["−0.10", "", "+0.30"]
    choice(page, "To system").select_option("model 1")  # chosen twice: they change places
    assert names(page) == "acb" and choice(page, "From system").input_value() == "2"
    assert not choice(open_page(report(FIVE)), "To system").is_visible()


def test_pages(open_page: Open) -> None:
    rows = [row(f"{n:03}.jpg", (0.1, 0.2)) for n in range(60)]
    page = open_page(report(rows), hash="#sort=data")
    cards, number = page.locator(".card .image-name"), page.get_by_role("spinbutton", name="Page")

    def shown() -> tuple[str, str, int]:
        return cards.first.inner_text(), cards.last.inner_text(), cards.count()

    assert shown() == ("000.jpg", "023.jpg", 24)
    page.get_by_label("Next page").click()
    assert shown() == ("024.jpg", "047.jpg", 24) and number.input_value() == "2"
    page.get_by_label("Last page").click()
    assert shown() == ("048.jpg", "059.jpg", 12)
    page.get_by_label("Next page").click(force=True)
    assert shown()[0] == "048.jpg" and page.get_by_label("Next page").get_attribute("aria-disabled") == "true"
    page.get_by_label("Previous page").click()
    choice(page, "On a page").select_option("48")
    assert shown() == ("000.jpg", "047.jpg", 48)  # where the photos are that were to be seen
    number.fill("99")
    number.press("Enter")
    assert shown() == ("048.jpg", "059.jpg", 12) and number.input_value() == "2"
    number.fill("")
    number.press("Enter")
    assert number.input_value() == "2"
    page.get_by_label("First page").click()
    assert shown()[0] == "000.jpg" and page.get_by_role("status").inner_text() == "1 to 48 of 60 photos"


def test_words_are_found_in_captions_references_and_names(open_page: Open) -> None:
    rows = [
        row("a.jpg", (0.1, 0.2), captions=["A brown Dog", "a cat"]),
        row("b.jpg", (0.1, 0.2), references=["the dog, it sits"], captions=["a horse", "a brown cow"]),
        row("dog.jpg", (0.1, 0.2), captions=["two", "three"], references=["فَتاة"]),
    ]
    page = open_page(report(rows))
    find = page.get_by_role("searchbox", name="Words in")
    for typed, expected in {
        "dog": "abd",
        "brown dog": "ab",
        " DOG.jpg": "d",
        "فتاة": "d",
        "zebra": "",
        "": "abd",
    }.items():
        find.fill(typed)
        assert names(page) == expected, typed
    find.fill("zebra")
    assert page.get_by_role("status").inner_text() == "No photo has these words."
    find.fill("brown")
    assert page.get_by_role("status").inner_text() == "1 to 2 of 2 photos that match, of 3"


def test_back_goes_back_and_a_link_can_be_passed_on(open_page: Open) -> None:
    rows = [row(f"{n:03}.jpg", (0.1, 0.2)) for n in range(60)]
    page = open_page(report(rows))
    choice(page, "Order").select_option("data")
    page.get_by_label("Next page").click()
    page.get_by_role("searchbox", name="Words in").press_sequentially("05")  # two letters, one step
    assert names(page) and page.locator(".card").count() == 11
    link = page.evaluate("location.hash")
    page.go_back()
    assert (
        page.locator(".image-name").first.inner_text() == "024.jpg"
        and page.get_by_role("searchbox", name="Words in").input_value() == ""
    )
    page.go_back()
    page.go_back()
    assert page.evaluate("location.hash") == "" and choice(page, "Order").input_value() == "gain"
    page.go_forward()
    assert choice(page, "Order").input_value() == "data"
    other = open_page(report(rows), hash=link)
    assert (
        other.get_by_role("searchbox", name="Words in").input_value() == "05" and other.locator(".card").count() == 11
    )
    broken = open_page(report(rows), hash="#page=-3&sort=nonsense&first=9&second=%F0&size=1&metric=x&page")
    assert broken.locator(".card").count() == 24


def test_hostile_text_is_text(open_page: Open) -> None:
    content = report([row(HOSTILE, (0.1, 0.2), captions=[HOSTILE, "a <b>dog</b>"], references=[HOSTILE])])
    content["systems"][0]["name"] = HOSTILE
    page = open_page(content)
    page.get_by_text("1 reference").click()
    assert page.locator(".caption").all_text_contents() == [HOSTILE, "a <b>dog</b>"]
    assert page.locator(".references li").text_content() == page.locator(".image-name").text_content() == HOSTILE
    page.locator("button.photo").click()
    assert page.evaluate("window.harmed") is None and page.locator("img[onerror]").count() == 0


def test_the_policy_holds_back_requests_and_scripts(browser: Any, tmp_path: Path) -> None:
    """With a page of its own, since what is held back is written to the console."""
    write_page(tmp_path / "page.html", report(FIVE), {})
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    held = page.evaluate(
        """async () => {
            const held = [];
            document.addEventListener("securitypolicyviolation", (event) => held.push(event.effectiveDirective));
            document.body.append(Object.assign(new Image(), {src: "https://example.org/x.png"}));
            document.body.append(Object.assign(document.createElement("script"), {textContent: "window.harmed = 1"}));
            await fetch("https://example.org/").catch(() => 0);
            await new Promise((done) => setTimeout(done, 50));
            return held.sort();
        }"""
    )
    page.close()
    assert held == ["connect-src", "img-src", "script-src-elem"]


def test_words_of_a_reference_are_set_apart(open_page: Open) -> None:
    captions = ["A Dog's dogs: run!", "dog"]
    page = open_page(report([row("a.jpg", (0.1, 0.2), captions=captions, references=["a dog's bone", "They run"])]))
    first = page.locator(".caption").first
    assert first.inner_text() == captions[0]
    assert first.locator("b").all_text_contents() == ["A", "Dog's", "run"]
    assert "underline" in first.locator("b").first.evaluate("e => getComputedStyle(e).textDecorationLine")


def test_arabic_runs_from_right_to_left(open_page: Open) -> None:
    arabic = row("a.jpg", (0.1, 0.2), captions=["فَتاة تركض", "BMW حمراء"], references=["فتاة"])
    direction = "all => all.map(e => getComputedStyle(e).direction)"
    page = open_page(report([arabic], "ar"))
    assert page.locator(".caption, .references li").evaluate_all(direction) == ["rtl"] * 3
    assert page.locator(".caption").first.get_attribute("lang") == "ar"
    assert page.locator(".caption b").all_text_contents() == ["فَتاة"]  # with vowel signs and without
    mixed = open_page(report([{**arabic, "captions": ["فتاة", "a girl"]}]))
    assert mixed.locator(".caption").evaluate_all(direction) == ["rtl", "ltr"]


def test_everything_by_keyboard(open_page: Open) -> None:
    page = open_page(report([row(f"{n}.jpg", (0.1, 0.2)) for n in range(60)]), hash="#sort=data")
    focus = "document.activeElement.getAttribute('aria-label')"
    choice(page, "On a page").focus()
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == "Enlarge 0.jpg"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    large = page.get_by_role("dialog")
    assert large.is_visible() and large.get_by_alt_text("0.jpg").evaluate(NATURAL_WIDTH) == 64
    page.keyboard.press("Escape")
    assert not large.is_visible() and page.evaluate(focus) == "Enlarge 0.jpg"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator(".references").first.is_visible()
    page.get_by_label("Next page").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # the button keeps the focus
    assert page.locator(".image-name").first.inner_text() == "48.jpg"


def test_a_click_enlarges_and_a_click_beside_closes(open_page: Open) -> None:
    page = open_page(report(FIVE))
    large = page.get_by_role("dialog")
    for close in (lambda: large.get_by_text("Close").click(), lambda: page.mouse.click(5, 5)):
        page.get_by_label("Enlarge e.jpg").click()
        assert "system 1 says e.jpg" in large.inner_text()
        close()
        assert not large.is_visible()


def test_a_photo_that_is_not_there_has_a_placeholder(open_page: Open) -> None:
    page = open_page(report(FIVE), {"e.jpg": photo()})
    for order in ("loss", "gain"):  # drawn again when the whole file has been read
        choice(page, "Order").select_option(order)
        assert page.locator("button.photo").count() == 1
        assert page.get_by_role("img", name="no photo").count() == 4


def test_cards_stack_on_a_phone_and_colours_follow_the_scheme(open_page: Open) -> None:
    page = open_page(report(THREE_SYSTEMS), viewport={"width": 360, "height": 700}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert len({card.bounding_box()["x"] for card in page.locator(".card").all()}) == 1
    lightness = "sum = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + +b, 0)"
    assert page.evaluate(lightness) < 150 < 600 < open_page(report(FIVE)).evaluate(lightness)


def test_five_thousand_photos(open_page: Open) -> None:
    """Opened on the last page, whose cards are there before their photos have been read."""
    rows = [row(f"{n:04}.jpg", (0.1, 0.2), references=["a brown dog runs over the grass"] * 5) for n in range(5000)]
    photos = dict.fromkeys((row["image"] for row in rows[:-1]), photo())
    page = open_page(report(rows), photos, hash="#sort=data&page=209")
    assert page.locator(".image-name").last.inner_text() == "4999.jpg" and page.locator(".card").count() == 8
    assert page.locator(".card img").count() == page.locator(".card button.photo").count() == 7
    assert page.locator(".card img").last.evaluate(NATURAL_WIDTH) == 64
    page.get_by_label("First page").click()
    assert page.locator(".card").count() == page.locator("img").count() == 24
    page.get_by_role("searchbox", name="Words in").fill("4321")
    assert page.locator(".image-name").all_text_contents() == ["4321.jpg"]
