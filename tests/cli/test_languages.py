"""Languages and scripts on the command line, in data and scores."""

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.in_process import showtell


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Captions in Brazilian Portuguese, spelt in two ways, in Chinese, and in a language that is called by its name."""
    for name, grey in (("a.png", 0), ("b.png", 200)):
        Image.linear_gradient("L").point(lambda value, grey=grey: (value + grey) % 256).save(tmp_path / name)
    rows = [
        *(("a.png", "Um cachorro", "pt_br"), ("b.png", "Um gatо", "pt-BR")),  # the last о is Cyrillic
        *(("a.png", "一只狗", "zh"), ("b.png", "一只猫T恤", "ZH"), ("b.png", "a cat", "English")),
    ]
    lines = ["image,caption,split,language", *(f"{image},{text},train,{tag}" for image, text, tag in rows)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "table.csv"


def test_a_language_is_found_in_any_spelling(table: Path) -> None:
    done = showtell("data", "stats", f"csv:{table}", "--lang", "PT_br", "--lang", "zh", "--json")
    groups = {group["language"]: group for group in json.loads(done.stdout)["groups"]}
    assert {tag: group["captions"] for tag, group in groups.items()} == {"pt-BR": 2, "zh": 2}
    assert (groups["zh"]["shortest"], groups["zh"]["longest"]) == (3, 5)  # characters, and one Latin word


def test_scripts_that_are_not_the_language_s_are_counted_and_named(table: Path) -> None:
    done = showtell("data", "stats", f"csv:{table}", "--lang", "pt-BR")
    assert "train pt-BR: letters of Latin 94 %, Cyrillic 6.2 %\n" in done.stdout
    done = showtell("data", "check", f"csv:{table}", "--lang", "pt-BR")
    assert done.returncode == 1
    assert "b.png: a caption with Cyrillic 'о' in the Latin word 'gatо': 'Um gatо'\n" in done.stdout
    assert showtell("data", "check", f"csv:{table}", "--lang", "zh").returncode == 0


def test_what_is_no_language_is_refused_and_a_missing_one_is_named_with_those_there_are(table: Path) -> None:
    done = showtell("data", "stats", f"csv:{table}", "--lang", "chinese")
    assert done.returncode == 2 and "'chinese' is a name and no code of two or three letters" in done.stderr
    done = showtell("data", "stats", f"csv:{table}", "--lang", "sw")
    assert done.returncode == 2 and "captions in English, pt-BR, zh only" in done.stderr


def test_score_says_when_captions_are_in_another_script_than_the_language(tmp_path: Path) -> None:
    for name, text in (("c.jsonl", "собака бежит"), ("r.jsonl", "собака идёт")):
        row = {"image": "a.jpg", "caption": text}
        (tmp_path / name).write_text(json.dumps(row) + "\n", encoding="utf-8")
    done = showtell("score", tmp_path / "c.jsonl", tmp_path / "r.jsonl")
    assert "these captions have Cyrillic letters, which en is not written in" in done.stderr
    done = showtell("score", tmp_path / "c.jsonl", tmp_path / "r.jsonl", "--lang", "ru")
    assert "letters" not in done.stderr and "content_recall" in done.stdout
    done = showtell("score", tmp_path / "c.jsonl", tmp_path / "r.jsonl", "--lang", "lg")
    assert done.returncode == 0 and "content_recall" not in done.stdout
