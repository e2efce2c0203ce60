"""Thirteen scripts in one model: ten drawn scenes are learned by heart, exported, and written to stdout and to JSONL.

Every step is a command that a user types.
"""

import importlib.util
import json
from pathlib import Path

import pytest
from tests import skips
from tests.cli.in_process import showtell
from tests.scenes_of_scripts import CAPTIONS, caption_of, write_scenes

from showtell.core.text_rules import text_rule

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "timm", "onnx")),
    reason=skips.PACKAGES,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and a bundle that has learned it."""
    folder = tmp_path_factory.mktemp("scripts")
    data = write_scenes(folder, copies=20)
    settings = [
        *(f"data=csv:{data}", f"text.languages=[{','.join(CAPTIONS)}]", "text.max_length=24", "decode.max_length=24"),
        *("train.epochs=8", "train.batch_size=4", "decode.beam_size=1"),
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
