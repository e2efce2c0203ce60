"""The other commands as a user runs them: what they print, and one line for each mistake."""

from pathlib import Path

import pytest
import yaml
from PIL import Image
from tests.cli.in_process import showtell


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photos with captions, two of them to choose by."""
    folder = tmp_path / "photos"
    for split, names in {"train": "ab", "dev": "cd"}.items():
        (folder / split).mkdir(parents=True)
        for name in names:
            Image.new("RGB", (40, 30), (50 * ord(name) % 256, 90, 30)).save(folder / split / f"{name}.jpg")
            (folder / split / f"{name}.txt").write_text(f"a dog called {name}\nthe dog {name} runs\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["defualt", "data=shapes:9"], "did you mean 'default'?"),
        (["default"], "data is missing"),
        (["default", "data=shapes:9", "train.epoch=3"], "train.epoch is no setting; did you mean 'epochs'?"),
        (["default", "data=shapes:9", "model.decoder.layer=3"], "did you mean 'layers'?"),
        (["default", "data=shapes:9", "model.encoder_wieghts=x"], "did you mean 'weights'?"),
        (["default", "data=shapes:9", "train.lr=fast", "train.epochs=0"], "train.epochs"),
        (["default", "data=shapes:9", "epochs"], "expected key=value"),
        (["nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["default", "data=shape:9"], "did you mean 'shapes'?"),
        (["default", "data=flickr:nowhere"], "nowhere"),
    ],
)
def test_a_wrong_recipe_is_one_line_and_code_2(arguments: list[str], problem: str, tmp_path: Path) -> None:
    done = showtell("train", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert problem in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # a mistake leaves nothing behind


def test_both_mistakes_are_reported_together(tmp_path: Path) -> None:
    done = showtell("train", "default", "data=shapes:9", "train.lr=fast", "train.epochs=0", cwd=tmp_path)
    assert "train.lr" in done.stderr and "train.epochs" in done.stderr


def test_recipes_are_listed_and_printed_so_that_they_can_be_read_again(tmp_path: Path) -> None:
    listed = showtell("recipes").stdout
    assert "default" in listed and "shapes" in listed
    printed = showtell("recipes", "default", "--yaml").stdout
    recipe = yaml.safe_load(printed)
    assert recipe["model"]["encoder"]["name"] == "tf_efficientnet_b4"
    assert recipe["train"]["max_grad_norm"] == 1.0  # a default, written out
    (tmp_path / "mine.yaml").write_text(printed, encoding="utf-8")
    assert showtell("recipes", tmp_path / "mine.yaml", "--yaml").stdout == printed


def test_data_check_and_stats(photos: Path) -> None:
    done = showtell("data", "check", f"folder:{photos}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "4 images checked\n")
    assert "train   en            2          4" in showtell("data", "stats", f"folder:{photos}").stdout
    (photos / "train" / "a.jpg").write_bytes(b"<html>")
    done = showtell("data", "check", f"folder:{photos}")
    assert done.returncode == 1 and "a.jpg: unreadable" in done.stdout


def test_a_run_that_is_none(tmp_path: Path) -> None:
    done = showtell("export", tmp_path, tmp_path / "bundle")
    assert done.returncode == 2 and "no run folder" in done.stderr and done.stderr.count("\n") == 1
