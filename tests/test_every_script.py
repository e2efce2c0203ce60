"""Thirteen scripts in one model: ten drawn scenes are learned by heart, exported, and told on stdout, in JSONL, in
attention pictures and on the page.

Every step is a command that a user types.
"""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests import skips
from tests.cli.in_process import showtell
from tests.scenes_of_scripts import CAPTIONS, caption_of, write_scenes

from showtell.core.text_rules import text_rule
from showtell.languages import is_right_to_left, language_info
from showtell.languages.scripts import script_name, scripts_of
from showtell.view import typefaces
from showtell.view.typefaces import FontBook

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "timm", "onnx")),
    reason=skips.PACKAGES,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and a bundle that has learned it."""
    folder = tmp_path_factory.mktemp("scripts")
    data = write_scenes(folder, copies=40)
    settings = [
        *(f"data=csv:{data}", f"text.languages=[{','.join(CAPTIONS)}]", "text.max_length=24", "decode.max_length=24"),
        *("train.epochs=5", "train.batch_size=4", "decode.beam_size=1"),
    ]
    cache = {"SHOWTELL_CACHE": str(folder / "cache")}
    trained = showtell("train", "shapes", *settings, "--run", folder / "run", **cache)
    assert trained.returncode == 0, trained.stderr
    assert "truncated" not in trained.stderr
    exported = showtell("export", folder / "run", folder / "bundle", **cache)
    assert exported.returncode == 0, exported.stderr
    return folder


def spelt(name: str, language: str) -> str:
    rule = text_rule(CAPTIONS)
    return rule.join(rule.split(caption_of(name, language), language))


@pytest.mark.parametrize("language", CAPTIONS)
def test_each_scene_is_captioned_in_each_script(folder: Path, language: str) -> None:
    rows = folder / f"{language}.jsonl"
    done = showtell("caption", folder / "dev", "--model", folder / "bundle", "--lang", language, "--output", rows)
    assert done.returncode == 0, done.stderr
    written = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    assert len(written) == 10
    for row in written:
        assert (row["language"], row["caption"]) == (language, spelt(row["image"], language))
    photo = folder / "dev" / "red-circle.png"
    done = showtell("caption", photo, "--model", folder / "bundle", "--lang", language)
    assert done.stdout == f"{photo}\t{spelt(photo.name, language)}\n"


@pytest.mark.parametrize("language", ["zh", "th", "hi", "ru"])
def test_each_language_is_scored(folder: Path, language: str) -> None:
    data = f"csv:{folder / 'scenes.csv'}"
    done = showtell("evaluate", "--model", folder / "bundle", "--data", data, "--lang", language, "--report", "-")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["language"] == language and report["images"] == 10
    assert report["scores"]["BLEU-1"]["value"] == report["scores"]["ROUGE-L"]["value"] == 1
    assert ("content_recall" in report["scores"]) == (language in ("hi", "ru"))


def test_a_language_that_the_model_does_not_have_is_named_with_those_that_it_has(folder: Path) -> None:
    data = f"csv:{folder / 'scenes.csv'}"
    for command in (
        ("caption", folder / "dev", "--model", folder / "bundle"),
        ("evaluate", "--model", folder / "bundle", "--data", data),
        ("calibrate", folder / "bundle", "--data", data),
    ):
        for tag in ("fr", "german", "zh-Hant"):
            done = showtell(*command, "--lang", tag)
            assert done.returncode == 2 and done.stdout == ""
            assert done.stderr.rstrip().endswith(f"found language '{tag}'; this model writes {', '.join(CAPTIONS)}")
            assert done.stderr.count("\n") == 1


def test_a_tag_may_be_spelt_otherwise(folder: Path) -> None:
    photo = folder / "dev" / "red-circle.png"
    for tag in ("RU", "rus"):
        done = showtell("caption", photo, "--model", folder / "bundle", "--lang", tag)
        assert done.stdout == f"{photo}\t{spelt(photo.name, 'ru')}\n"


def test_the_model_card_has_the_names_of_the_languages(folder: Path) -> None:
    card = (folder / "bundle" / "README.md").read_text(encoding="utf-8")
    assert "| languages | `en` (English), `vi` (Vietnamese), `ar` (Arabic), `he` (Hebrew)," in card


# ---- attention pictures ----


@pytest.mark.parametrize("language", CAPTIONS)
def test_each_word_has_its_panel_and_a_script_without_a_font_is_named(
    folder: Path, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = FontBook([])  # with the package's font alone, whatever this machine has
    monkeypatch.setattr(typefaces, "book", lambda: book)
    photo, pictures = folder / "dev" / "red-circle.png", folder / f"attention-{language}"
    rows = folder / f"rows-{language}.jsonl"
    where = ["--model", folder / "bundle", "--lang", language]
    done = showtell("caption", photo, *where, "--output", rows, "--attention", pictures)
    assert done.returncode == 0, done.stderr
    row = json.loads(rows.read_text(encoding="utf-8"))
    words = [word for word, _ in row["words"]]
    assert row["attention"] == "red-circle" and row["caption"] == spelt(photo.name, language)
    assert "".join(words) == row["caption"].replace(" ", "")
    with Image.open(pictures / "red-circle.attention.png") as sheet:
        assert sheet.width == 1600
    with Image.open(pictures / "red-circle.attention.webp") as film:
        assert film.n_frames == len(words) + 1  # type: ignore[attr-defined]
    lines = [line for line in done.stderr.splitlines() if "--attention" in line]
    # Vietnamese is Latin, with letters that the font lacks.
    missing = set() if language in ("en", "ar") else scripts_of(row["caption"])
    assert len(lines) == bool(missing) and all(script_name(script) in lines[0] for script in missing)


# ---- the page ----


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Any]:
    pytest.importorskip("fastapi", reason=skips.PACKAGES)
    from tests.serve.page_window import Running

    from showtell import Captioner
    from showtell.serve.limits import Limits

    running = Running(Captioner.load(folder / "bundle", threads=1), Limits(batch_delay=0))
    yield running
    running.stop()


def test_the_page_offers_every_language_and_tells_a_scene_in_it(server: Any, browser: Any, folder: Path) -> None:
    from tests.serve.page_window import Page

    window = Page(browser, server)
    options = window.page.eval_on_selector_all("option", "all => all.map(({ value, dir, text }) => [value, dir, text])")
    assert [code for code, *_ in options] == list(CAPTIONS)
    for code, direction, name in options:
        assert (direction, name) == ("rtl" if is_right_to_left(code) else "ltr", language_info(code).name)
    window.choose((folder / "dev" / "blue-square.png").read_bytes())
    window.captioned()
    for language in reversed(CAPTIONS):  # the first one is what it begins with
        window.page.select_option("select[name=language]", language)
        window.page.wait_for_selector(f".words[data-language={language}]")
        window.captioned()
        assert window.page.get_attribute(".image", "alt") == spelt("blue-square.png", language)
        assert window.page.get_attribute(".image", "lang") == language
    assert not window.complaints
    window.context.close()
