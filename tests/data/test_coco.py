import json
from pathlib import Path

import pytest

from showtell.data.coco import read_coco
from showtell.data.omissions import Omissions
from showtell.data.spec import read_samples
from showtell.errors import BadData

TRAIN = {
    "images": [{"id": 9, "file_name": "a.jpg"}, {"id": 4, "file_name": "b.jpg"}, {"id": 5, "file_name": "lost.jpg"}],
    "annotations": [
        {"image_id": 4, "id": 1, "caption": "A cat. "},
        {"image_id": 9, "id": 2, "caption": "A dog\nruns."},
        {"image_id": 9, "id": 3, "caption": "The dog."},
    ],
}
VAL = {"images": [{"id": 1, "file_name": "c.jpg"}], "annotations": [{"image_id": 1, "id": 7, "caption": "A cow."}]}


@pytest.fixture
def root(tmp_path: Path, photos, write) -> Path:
    photos("train2014/a.jpg", "train2014/b.jpg", "val2014/c.jpg")
    write("annotations/captions_train2014.json", json.dumps(TRAIN))
    write("annotations/captions_val2014.json", json.dumps(VAL))
    return tmp_path


def test_images_with_their_captions_and_splits(root: Path) -> None:
    expected = [
        ("train2014/a.jpg", ("A dog runs.", "The dog."), "train", root / "train2014/a.jpg"),
        ("train2014/b.jpg", ("A cat.",), "train", root / "train2014/b.jpg"),
        ("val2014/c.jpg", ("A cow.",), "dev", root / "val2014/c.jpg"),
    ]
    for spec in (f"coco:{root}", f"coco:{root},2014"):
        assert [(s.name, s.captions, s.split, s.image) for s in read_samples(spec)] == expected


def test_names_as_another_system_writes_them(root: Path, photos, write) -> None:
    photos("train2014/x/cafe\u0301.jpg", "images/train2017/D.JPG")
    names = ["A.JPG", "train2014/b.jpg", "x\\caf\u00e9.jpg"]
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    annotations = [{"image_id": n, "id": n, "caption": "A dog."} for n in range(3)]
    write("annotations/captions_train2014.json", json.dumps({"images": images, "annotations": annotations}))
    found = [s.image for s in read_coco(str(root), ("en",)) if s.split == "train"]
    assert found == [root / "train2014" / name for name in ("a.jpg", "b.jpg", "x/cafe\u0301.jpg")]


def test_photos_may_lie_below_images(root: Path) -> None:
    (root / "images").mkdir()
    for name in ("train2014", "val2014"):
        (root / name).rename(root / "images" / name)
    assert read_samples(f"coco:{root}")[0].name == "images/train2014/a.jpg"


def test_one_year_at_a_time(root: Path, photos, write) -> None:
    photos("train2017/d.jpg")
    write(
        "annotations/captions_train2017.json",
        json.dumps(
            {"images": [{"id": 1, "file_name": "d.jpg"}], "annotations": [{"image_id": 1, "caption": "A hen."}]}
        ),
    )
    with pytest.raises(
        BadData, match=rf"found captions of 2014 and 2017; expected one of them, as in coco:{root},2014"
    ):
        read_coco(str(root), ["en"])
    assert [s.captions for s in read_coco(f"{root},2017", ["en"])] == [("A hen.",)]
    with pytest.raises(BadData, match=r"no captions of 2017"):
        (root / "annotations" / "captions_train2017.json").unlink()
        read_coco(f"{root},2017", ["en"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps(TRAIN)[:-9], r"captions_train2014.json: found no valid JSON"),
        ("[]", r"found another form \(TypeError"),
        ('{"images": []}', r"found another form \(KeyError: 'annotations'\)"),
        ('{"images": [{"id": 1}], "annotations": []}', r"KeyError: 'file_name'"),
        (
            '{"images": [], "annotations": [{"image_id": 3, "caption": "A"}]}',
            r"a caption of image 3, which it does not list",
        ),
        (
            '{"images": [{"id": 3, "file_name": "a.jpg"}], "annotations": [{"image_id": 3, "caption": " "}]}',
            r"an empty caption of a.jpg",
        ),
        (
            '{"images": [{"id": 3, "file_name": "z.jpg"}], "annotations": [{"image_id": 3, "caption": "A"}]}',
            r"but no file .*train2014/z.jpg",
        ),
    ],
)
def test_a_broken_file_is_named(root: Path, text: str, message: str) -> None:
    (root / "annotations" / "captions_train2014.json").write_text(text)
    with pytest.raises(BadData, match=message) as caught:
        read_coco(str(root), ["en"])
    assert "\n" not in str(caught.value)


def test_missing_parts_are_named(root: Path, tmp_path: Path) -> None:
    (root / "train2014").rename(root / "elsewhere")
    with pytest.raises(
        BadData, match=r"found no folder train2014; expected the photos in train2014/ or images/train2014/"
    ):
        read_coco(str(root), ["en"])
    with pytest.raises(BadData, match=r"found no captions; expected annotations/captions_train2014.json, or of 2017"):
        read_coco(str(root / "elsewhere"), ["en"])


def test_a_relative_path_is_the_same_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_coco(str(root), ["en"])
    monkeypatch.chdir(root.parent)
    assert read_coco(root.name, ["en"]) == whole


def test_photos_without_captions_are_counted(root: Path) -> None:
    omissions = Omissions()
    assert len(read_coco(str(root), ("en",), omissions)) == 3
    assert omissions.summary() == "skipped: 1 photo without captions"
