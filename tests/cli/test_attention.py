"""`showtell caption --attention` as a user runs it, and the names of what it writes."""

import csv
import functools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.in_process import showtell
from tests.manifests import write_manifest

from showtell import Captioner
from showtell.cli import attention
from showtell.cli.attention import ANIMATION_SUFFIX, SHEET_SUFFIX, Pictures
from showtell.core.bundle import MANIFEST, builtin
from showtell.core.image import load_image
from showtell.core.sources import ImageInput
from showtell.core.stepper import Step
from showtell.errors import BadConfig, BadImage
from showtell.folder_scan import PassedOver
from showtell.records import Caption, CaptionRow, Word
from showtell.view import attention as view_attention
from showtell.view import typefaces
from showtell.view.attention import sheet
from showtell.view.typefaces import FontBook

EXAMPLES = Path(__file__).parents[2] / "examples"
DOG = EXAMPLES / "dog.jpg"


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.load()


def row(path: object, read: object = None) -> CaptionRow:
    """A photo with a caption of one word, as the captioner gives it."""
    weights = np.zeros((1, 7, 7), np.float32)
    weights[0, 3, 3] = 1
    return CaptionRow(
        ImageInput(str(path), read=read),  # type: ignore[arg-type]
        (Caption("dog", -1, 0.5, (Word("dog", -1),), "en", weights),),
    )


def draw(pictures: Pictures, row: CaptionRow) -> None:
    pictures.write(row, pictures.name_for(row))


def small(path: Path, value: str = "#806040") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), value).save(path)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_photo_above_the_limit_of_a_sheet(
    tmp_path: Path, captioner: Captioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --max-pixels it has a caption, and then pictures as well."""
    monkeypatch.setattr(view_attention, "load_image", functools.partial(load_image, max_pixels=5_950_000))
    Image.new("1", (3000, 2000)).save(tmp_path / "a.png")
    with Pictures(tmp_path, captioner, grid=False) as pictures:
        draw(pictures, row(tmp_path / "a.png"))
    assert {"a.attention.png", "a.attention.webp"} <= names(tmp_path)


def test_a_sheet_and_an_animation_for_every_photo(tmp_path: Path, captioner: Captioner) -> None:
    folder, rows = tmp_path / "new" / "pictures", tmp_path / "rows.csv"
    done = showtell("caption", DOG, tmp_path / "gone.jpg", "--attention", folder, "--output", rows)
    assert done.returncode == 1 and "gone.jpg: missing" in done.stderr
    assert names(folder) == {"dog.attention.png", "dog.attention.webp"}
    with rows.open(encoding="utf-8", newline="") as file:
        text = next(csv.DictReader(file))["caption"]
    with Image.open(folder / "dog.attention.png") as drawn:
        assert drawn.tobytes() == sheet(DOG, captioner.caption(DOG, attention=True)).tobytes()
    with Image.open(folder / "dog.attention.webp") as film:
        assert film.n_frames == len(text.split()) + 1  # type: ignore[attr-defined]


def test_captions_are_the_same_and_the_grid_is_another_picture(tmp_path: Path) -> None:
    smooth = showtell("caption", DOG, "--attention", tmp_path / "smooth", "--num", 2, "--lang", "ar")
    cells = showtell("caption", DOG, "--attention", tmp_path / "cells", "--attention-grid", "--num", 2, "--lang", "ar")
    assert smooth.returncode == cells.returncode == 0 and smooth.stderr == cells.stderr == ""
    assert smooth.stdout == cells.stdout == showtell("caption", DOG, "--num", 2, "--lang", "ar").stdout
    one, other = (Image.open(tmp_path / name / "dog.attention.png") for name in ("smooth", "cells"))
    assert one.size == other.size and one.tobytes() != other.tobytes()


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_rows_name_their_pictures(tmp_path: Path, ending: str) -> None:
    photos = [small(tmp_path / name / "Same.png") for name in ("a", "b")]
    rows = tmp_path / f"rows{ending}"
    done = showtell("caption", *photos, tmp_path / "gone.png", "--attention", tmp_path / "drawn", "--output", rows)
    assert done.returncode == 1
    with rows.open(encoding="utf-8", newline="") as file:
        result = list(map(json.loads, file)) if ending == ".jsonl" else list(csv.DictReader(file))
    assert [each.get("attention") or "none" for each in result] == ["Same", "Same-2", "none"]
    assert names(tmp_path / "drawn") == {
        name + end for name in ("Same", "Same-2") for end in (SHEET_SUFFIX, ANIMATION_SUFFIX)
    }


def test_letters_that_no_font_has_are_told_once(
    tmp_path: Path, captioner: Captioner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = FontBook([])
    monkeypatch.setattr(typefaces, "book", lambda: book)
    pictures = Pictures(tmp_path / "out", captioner, grid=False)
    for word in ("狗", "dog", "猫", "कुत्ता", "बिल्ली"):
        plain = row(small(tmp_path / f"{word}.png"))
        caption = replace(plain.captions[0], text=word, words=(Word(word, -1),))
        draw(pictures, replace(plain, captions=(caption,)))
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == "" and len(lines) == 2 and all("--attention: no font here has letters" in line for line in lines)
    assert "Chinese" in lines[0] and "Devanagari" in lines[1] and "fonts-noto-cjk" in lines[0]
    assert len(names(tmp_path / "out")) == 2 * 5


def test_a_withheld_caption_is_not_drawn(tmp_path: Path) -> None:
    assert showtell("caption", DOG, "--attention", tmp_path / "none", "--min-confidence", 1).returncode == 0
    assert names(tmp_path / "none") == set()


def test_pictures_in_the_photos_own_folder_are_no_photos(tmp_path: Path) -> None:
    photo = small(tmp_path / "photos" / "a.attention" / ".." / "dog.png")
    before = photo.read_bytes()
    for _ in range(2):
        done = showtell("caption", tmp_path / "photos", "--attention", tmp_path / "photos")
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 1
    assert photo.read_bytes() == before
    assert names(tmp_path / "photos") - {"a.attention"} == {"dog.png", "dog.attention.png", "dog.attention.webp"}


def test_photos_of_one_name(tmp_path: Path, captioner: Captioner) -> None:
    """Each has pictures of its own, also where the number behind a name is another photo's name."""
    photos = [
        small(tmp_path / "a" / "dog.png", "#ff0000"),
        small(tmp_path / "b" / "dog.png", "#00ff00"),
        small(tmp_path / "b" / "dog.bmp", "#0000ff"),
        small(tmp_path / "c" / "dog-2.png", "#ffff00"),
        small(tmp_path / "c" / "Dog.png", "#ff00ff"),
    ]
    pictures = Pictures(tmp_path / "out", captioner, grid=False)
    for photo in photos:
        draw(pictures, row(photo))
    stems = ["dog", "dog-2", "dog-3", "dog-2-2", "Dog-4"]
    assert names(tmp_path / "out") == {stem + ending for stem in stems for ending in (SHEET_SUFFIX, ANIMATION_SUFFIX)}
    for stem, photo in zip(stems, photos, strict=True):
        with Image.open(tmp_path / "out" / (stem + SHEET_SUFFIX)) as drawn, Image.open(photo) as original:
            assert drawn.getpixel((300, 300)) == original.convert("RGB").getpixel((20, 15)), stem


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("../../up.jpg", "up"),
        ("https://example.org/a/photo%20one.jpg?size=3/../x#part", "photo one"),
        ("https://example.org/..%2f..%2fup.jpg", "up"),
        ("https://example.org/", "photo"),
        ("https://example.org", "photo"),
        ("https://example.org/%00%2e%2e", "_"),
        ("https://example.org/a%5c..%5cb.jpg", "a_.._b"),
        ("-", "stdin"),
        ("x/.hidden.jpg", "hidden"),
        ("كلب.jpg", "كلب"),
        ("x" * 250 + ".jpg", "x" * 160),
        ("ك" * 120 + ".jpg", "ك" * 80),
        (os.fsdecode(b"\xff.jpg"), os.fsdecode(b"\xff")),
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, captioner: Captioner, path: str, name: str) -> None:
    data = small(tmp_path / "photo.png").read_bytes()
    draw(Pictures(tmp_path / "out", captioner, grid=False), row(path, lambda: data))
    assert names(tmp_path / "out") == {name + SHEET_SUFFIX, name + ANIMATION_SUFFIX}
    assert names(tmp_path) == {"photo.png", "out"}


def test_what_is_fetched_is_fetched_once(tmp_path: Path, captioner: Captioner) -> None:
    data, fetched = small(tmp_path / "photo.png").read_bytes(), []

    def read() -> bytes:
        fetched.append(1)
        return data

    pictures = Pictures(tmp_path / "out", captioner, grid=False)
    images = pictures.filter_inputs([ImageInput("https://example.org/dog.png", read=read)], PassedOver())
    (done,) = captioner.caption_many(images, attention=True)
    draw(pictures, done)
    assert len(fetched) == 1 and names(tmp_path / "out") == {"dog" + SHEET_SUFFIX, "dog" + ANIMATION_SUFFIX}


def test_a_photo_that_goes_away_is_a_failure_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is read again for its picture, and may be gone by then."""

    def load_if_there(source: object, **options: Any) -> Image.Image:
        if "dog" in str(source):
            raise BadImage("missing", "no such file")
        return load_image(source, **options)

    monkeypatch.setattr(attention, "load_image", load_if_there)
    done = showtell("caption", DOG, EXAMPLES / "gate.jpg", "--attention", tmp_path / "out")
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 2
    assert f"{DOG}: missing: no such file" in done.stderr
    assert names(tmp_path / "out") == {"gate" + SHEET_SUFFIX, "gate" + ANIMATION_SUFFIX}


def test_a_model_that_looks_nowhere_is_refused_before_any_photo(tmp_path: Path, captioner: Captioner) -> None:
    class Blind:
        """The built-in model's stepper, which keeps to itself where it looks."""

        def __getattr__(self, name: str) -> object:
            return getattr(captioner.stepper, name)

        def step(self, tokens: object, state: object, best: int | None = None) -> Step:
            step = captioner.stepper.step(tokens, state, best)  # type: ignore[arg-type]
            return replace(step, attention=None)

    blind = Captioner(captioner.bundle, Blind())  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="found a model without attention maps"):
        Pictures(tmp_path / "out", blind, grid=False)
    assert not (tmp_path / "out").exists()


def test_models_that_look_at_different_parts_are_refused(tmp_path: Path) -> None:
    centre = Path(shutil.copytree(builtin(), tmp_path / "centre"))
    manifest = json.loads((centre / MANIFEST).read_text(encoding="utf-8"))
    manifest["pixels"]["crop_mode"] = "center"
    write_manifest(centre, manifest)
    done = showtell("caption", DOG, "--model", builtin(), "--model", centre, "--attention", tmp_path / "out")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "found models without common attention maps" in done.stderr and not (tmp_path / "out").exists()


def test_wrong_usage_is_one_line_and_code_2(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    for options, problem in [
        (["--attention-grid"], "without --attention DIR"),
        (["--attention", file], "cannot be written"),
        (["--attention", file / "below"], "cannot be written"),
    ]:
        done = showtell("caption", DOG, *options)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
        assert problem in done.stderr


def test_an_interrupted_picture_leaves_the_old_one(tmp_path: Path, captioner: Captioner) -> None:
    photo = small(tmp_path / "dog.png")
    pictures = Pictures(tmp_path / "out", captioner, grid=False)
    (tmp_path / "out" / ("dog" + SHEET_SUFFIX)).write_bytes(b"old")
    bad = row(photo)
    object.__setattr__(bad.captions[0], "attention", np.full((1, 7, 7), np.nan))
    with pytest.raises(ValueError):
        draw(pictures, bad)
    assert names(tmp_path / "out") == {"dog" + SHEET_SUFFIX}
    assert (tmp_path / "out" / ("dog" + SHEET_SUFFIX)).read_bytes() == b"old"


def test_a_second_run_does_not_draw_into_the_same_folder(tmp_path: Path, captioner: Captioner) -> None:
    folder, link = tmp_path / "pictures", tmp_path / "link"
    link.symlink_to(folder)
    with Pictures(folder, captioner, grid=False):
        for name in (folder, link, f"{folder}/../pictures"):
            done = showtell("caption", DOG, "--attention", name)
            assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
            assert "another run is drawing into it; wait until it ends, or give another folder" in done.stderr
    assert [p.name for p in folder.iterdir()] == []
