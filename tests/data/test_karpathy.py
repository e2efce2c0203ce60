import json
from pathlib import Path

import pytest

from showtell.data.karpathy import read_karpathy
from showtell.data.spec import read_samples
from showtell.errors import BadData


def image(name: str, split: str, *captions: str, **more: str) -> dict[str, object]:
    return {"filename": name, "split": split, "sentences": [{"raw": c, "tokens": c.split()} for c in captions], **more}


@pytest.fixture
def file(write, photos) -> Path:
    photos("photos/val2014/a.jpg", "photos/b.jpg", "photos/c.jpg", "photos/d.jpg")
    images = [
        image("a.jpg", "restval", "A dog .", "The  dog .", filepath="val2014"),
        image("b.jpg", "train", "A cat ."),
        image("c.jpg", "val", "A cow ."),
        image("d.jpg", "test", "A hen ."),
    ]
    return write("dataset.json", json.dumps({"dataset": "coco", "images": images}))


def test_images_with_their_captions_and_splits(file: Path) -> None:
    folder = file.parent / "photos"
    samples = read_samples(f"karpathy:{file},{folder}")
    assert [(s.name, s.split, s.captions, s.image) for s in samples] == [
        ("val2014/a.jpg", "train", ("A dog .", "The dog ."), folder / "val2014/a.jpg"),
        ("b.jpg", "train", ("A cat .",), folder / "b.jpg"),
        ("c.jpg", "dev", ("A cow .",), folder / "c.jpg"),
        ("d.jpg", "test", ("A hen .",), folder / "d.jpg"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', r"found no valid JSON"),
        ("[]", r"found no list of images"),
        (json.dumps({"images": [{"filename": "b.jpg"}]}), r"found image 0 of another form \(KeyError: 'sentences'\)"),
        (
            json.dumps({"images": [image("b.jpg", "dev", "A")]}),
            r"found the split 'dev' of b.jpg; expected one of: train",
        ),
        (json.dumps({"images": [image("b.jpg", "val")]}), r"found b.jpg with an empty caption or none"),
        (json.dumps({"images": [image("z.jpg", "val", "A")]}), r"but no file .*photos/z.jpg"),
    ],
)
def test_a_broken_file_is_named(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(BadData, match=message):
        read_karpathy(f"{file},{file.parent / 'photos'}", ["en"])


def test_the_folder_of_photos_has_to_be_said(file: Path) -> None:
    with pytest.raises(BadData, match=r"found no folder of photos; expected karpathy:FILE.json,IMAGES"):
        read_karpathy(str(file), ["en"])
    with pytest.raises(BadData, match=r"nowhere: found no such folder"):
        read_karpathy(f"{file},nowhere", ["en"])


def test_a_relative_path_is_the_same_data(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_karpathy(f"{file},{file.parent / 'photos'}", ["en"])
    monkeypatch.chdir(file.parent)
    assert read_karpathy(f"{file.name},photos", ["en"]) == whole


def test_a_split_that_is_no_text(file: Path) -> None:
    file.write_text(json.dumps({"images": [{**image("b.jpg", "", "A"), "split": ["val"]}]}))
    with pytest.raises(BadData, match=r"found the split \"\['val'\]\" of b.jpg"):
        read_karpathy(f"{file},{file.parent / 'photos'}", ["en"])
