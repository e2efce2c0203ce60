"""Captions to score against, in every form that data sets have them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.counting import assert_linear

from showtell.data.references import References, is_spec, read_references
from showtell.errors import BadConfig, BadData

COCO = {
    "info": {"year": 2014},
    "images": [
        {"id": 9, "file_name": "COCO_val2014_000000000009.jpg"},
        {"id": 4, "file_name": "four.jpg"},
        {"id": "5", "file_name": "five.jpg"},
    ],
    "annotations": [
        {"image_id": 4, "id": 1, "caption": "A cat. "},
        {"image_id": "9", "id": 2, "caption": "A dog\nruns."},
        {"image_id": 9, "id": 3, "caption": "The dog."},
        {"image_id": 9, "id": 4, "caption": " "},
    ],
}


def karpathy(name: str, split: str, *captions: str, **more: object) -> dict[str, object]:
    return {"filename": name, "split": split, "sentences": [{"raw": caption} for caption in captions], **more}


def read(file: Path, split: str | None = None, language: str = "en") -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(each.names, each.captions) for each in read_references(str(file), split, language)]


def test_coco_annotations(write) -> None:
    assert read(write("captions_val2014.json", json.dumps(COCO, indent=1))) == [
        (("9", "COCO_val2014_000000000009.jpg"), ("A dog runs.", "The dog.", "")),
        (("4", "four.jpg"), ("A cat.",)),
        (("5", "five.jpg"), ()),
    ]


def test_karpathy_of_coco_is_known_by_the_id_of_coco_and_not_by_its_place(write) -> None:
    image = karpathy("a.jpg", "restval", "A dog .", filepath="val2014", cocoid=391895, imgid=0)
    other = karpathy("b.jpg", "test", "A  cat .", "", cocoid=0, imgid=1)
    file = write("dataset_coco.json", json.dumps({"images": [image, other], "dataset": "coco"}))
    train, test = (("a.jpg", "391895", "val2014/a.jpg"), ("A dog .",)), (("b.jpg", "0"), ("A cat .", ""))
    assert read(file) == [train, test]
    assert read(file, "train") == [train]
    assert read(file, "test") == [test]


def test_karpathy_of_flickr_is_known_by_imgid(write) -> None:
    images = [karpathy("a.jpg", "val", "A dog .", imgid=0), karpathy("b.jpg", "train", imgid=1), karpathy("c", "test")]
    file = write("dataset_flickr8k.json", json.dumps({"images": images}))
    assert read(file) == [(("a.jpg", "0"), ("A dog .",)), (("b.jpg", "1"), ()), (("c",), ())]
    assert [names[0] for names, _ in read(file, "dev")] == ["a.jpg"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "r.jsonl",
            '{"image": "a.jpg", "captions": ["A dog.", "The  dog."]}\n{"image": "b.jpg", "captions": ["A cat."]}',
        ),
        (
            "rows.jsonl",
            '{"image": "a.jpg", "caption": "A dog."}\n{"file_name": "b.jpg", "text": "A cat."}\n'
            '{"image": "a.jpg", "caption": "The dog."}',
        ),
        ("r.csv", "image,caption\na.jpg,A dog.\nb.jpg,A cat.\na.jpg,The dog.\n"),
        ("results.csv", "image_name| comment_number| comment\na.jpg| 0| A dog.\na.jpg| 1 The dog.\nb.jpg| 0| A cat.\n"),
        ("Flickr8k.token.txt", "a.jpg#0\tA dog.\nb.jpg#0\tA cat.\r\n\na.jpg#1\tThe dog.\n"),
        ("results.token", "\n a.jpg#0 \t A dog.\na.jpg#1\tThe dog.\nb.jpg#0\tA cat."),
        ("map.json", '{"a.jpg": ["A dog.", "The dog."], "b.jpg": "A cat."}'),
        (
            "coco_eval.json",
            '{"a.jpg": [{"caption": "A dog."}, {"caption": "The dog."}], "b.jpg": [{"caption": "A cat."}]}',
        ),
        (
            "annotations.json",
            '[{"image_id": "a.jpg", "caption": "A dog."}, {"image_id": "b.jpg", "caption": "A cat."},'
            ' {"image_id": "a.jpg", "caption": "The dog."}]',
        ),
    ],
)
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_every_form_says_the_same(write, name: str, text: str, start: str) -> None:
    expected = [References(("a.jpg",), ("A dog.", "The dog.")), References(("b.jpg",), ("A cat.",))]
    assert read_references(str(write(name, start + text)), None, "en") == expected


def test_ids_in_rows_are_other_names(write) -> None:
    file = write("r.jsonl", '{"image_id": 7, "file_name": "a.jpg", "captions": ["A"]}\n{"image_id": 8, "caption": "B"}')
    assert read(file) == [(("a.jpg", "7"), ("A",)), (("8",), ("B",))]


def test_images_without_captions_are_there(write) -> None:
    assert read(write("r.json", '{"a": [], "b": null, "c": [" "]}')) == [(("a",), ()), (("b",), ("",)), (("c",), ("",))]
    assert read(write("r.csv", "image,caption\na.jpg,\na.jpg,A dog.\nb.jpg, \n")) == [
        (("a.jpg",), ("", "A dog.")),
        (("b.jpg",), ("",)),
    ]
    assert read(write("r.token", "a.jpg#0\t \n")) == [(("a.jpg",), ("",))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.csv", "image,caption,split\na,1,train\nb,2,VAL\nc,3,test\na,4,train\n"),
        (
            "r.jsonl",
            '{"image": "a", "captions": ["1", "4"], "split": "restval"}\n'
            '{"image": "b", "caption": "2", "split": "validation"}\n{"image": "c", "caption": "3", "split": "test"}',
        ),
    ],
)
def test_a_split_is_taken_where_asked(write, name: str, text: str) -> None:
    file = write(name, text)
    train, dev, test = (("a",), ("1", "4")), (("b",), ("2",)), (("c",), ("3",))
    assert read(file) == [train, dev, test]
    assert [read(file, split) for split in ("train", "dev", "test")] == [[train], [dev], [test]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "c.json",
            json.dumps(COCO),
            r"c.json: found no split; expected one with each image, to take those of dev; or no --split",
        ),
        ("r.csv", "image,caption,split\na,A,dev\nb,B,\n", r"r.csv, line 3: found no split; expected one with each"),
        ("r.token", "a.jpg#0\tA\n", r"r.token, line 1: found no split"),
        ("r.csv", "image,caption,split\na,A,minival\n", r"line 2: found the split 'minival'; expected one of: train"),
        ("r.csv", "image,caption,split\na,A,test\nb,B,train\n", r"no image of the split 'dev'; .* splits: test, train"),
    ],
)
def test_a_split_that_the_file_does_not_say(write, name: str, text: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        read_references(str(write(name, text)), "dev", "en")


def test_languages(write) -> None:
    file = write("r.csv", "image,caption,language\na.jpg,A dog,en\na.jpg,كلب,ar\nb.jpg,قطة,ar\nc.jpg,?,\n")
    assert read(file, None, "ar") == [(("a.jpg",), ("كلب",)), (("b.jpg",), ("قطة",)), (("c.jpg",), ("?",))]
    assert [names[0] for names, _ in read(file)] == ["a.jpg", "c.jpg"]
    only = write("o.csv", "image,caption,language\na.jpg,A dog,en\n")
    with pytest.raises(BadData, match=r"o.csv: found captions in en only; expected captions in ar"):
        read_references(str(only), None, "ar")


def test_a_data_spec_with_its_split(write, photos, tmp_path: Path) -> None:
    photos("a.jpg", "b.jpg")
    write("t.csv", "image,caption,split\na.jpg,A dog,train\nb.jpg,A cat,dev\nb.jpg,The cat,dev\n")
    spec = f"csv:{tmp_path / 't.csv'}"
    cat = References(("b.jpg",), ("A cat", "The cat"))
    assert read_references(spec, "dev", "en") == [cat]
    assert read_references(spec, None, "en") == [References(("a.jpg",), ("A dog",)), cat]
    with pytest.raises(BadConfig, match=r"the data has no split 'test'"):
        read_references(spec, "test", "en")


def test_a_path_that_exists_wins_over_a_data_spec(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_spec("shapes:2")
    assert len(read_references("shapes:2", None, "en")) == 102
    write("shapes:2", "image,caption\na.jpg,A dog\n")
    assert not is_spec("shapes:2")
    assert read(Path("shapes:2")) == [(("a.jpg",), ("A dog",))]


def test_what_is_no_file_and_no_data_spec(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"none.json: found no such file; expected a file with captions, or a data spec"):
        read_references(str(tmp_path / "none.json"), None, "en")
    with pytest.raises(BadData, match=r"found a folder; expected a file with captions, or a data spec such as flickr:"):
        read_references(str(tmp_path), None, "en")
    with pytest.raises(BadConfig, match=r"'flikr' is no kind of data.*flickr"):
        read_references("flikr:data", None, "en")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', r"r.json: found no valid JSON"),
        ("[]", r"r.json: found no captions"),
        ({"images": [{"file_name": "a"}], "annotations": []}, r"another form \(KeyError: 'id'\) in images, index 0"),
        ({"images": [{"id": None, "file_name": "a"}], "annotations": []}, r"TypeError: id None\) in images, index 0"),
        (
            {**COCO, "annotations": [*COCO["annotations"], {"image_id": 4}]},
            r"another form \(KeyError: 'caption'\) in annotations, index 4",
        ),
        (
            {"images": [], "annotations": [{"image_id": 3, "caption": "A"}]},
            r"a caption of image 3, which it does not list",
        ),
        (
            {"images": [{"id": 3, "file_name": "a"}, {"id": 3, "file_name": "b"}], "annotations": []},
            r"found the id 3 of 'a' and 'b'; expected an id of one image",
        ),
        ({"images": [{"filename": "b.jpg"}]}, r"image 0 of another form \(KeyError: 'sentences'\)"),
        ({"images": [karpathy("b.jpg", "dev")]}, r"found the split 'dev' of b.jpg; expected one of: train"),
        (
            {"images": [karpathy("b.jpg", "val"), karpathy("b.jpg", "val", filepath="sub")]},
            r"r.json, images, index 1: found 'b.jpg' again; expected each filename once",
        ),
        ("a.jpg#0\tA\na.jpg A dog\n", r"r.json, line 2: found 'a.jpg A dog'; expected NAME#0, a TAB, a caption"),
    ],
)
def test_a_broken_file_is_named_with_the_place(write, content: object, message: str) -> None:
    file = write("r.json", content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(BadData, match=message) as caught:
        read_references(str(file), None, "en")
    assert "\n" not in str(caught.value)


def test_work_is_linear(write) -> None:
    def read(count: int) -> Callable[[], object]:
        images = [{"id": n, "file_name": f"COCO_val2014_{n:012}.jpg"} for n in range(count)]
        annotations = [{"image_id": n % count, "id": n, "caption": f"A dog with {n} balls."} for n in range(5 * count)]
        file = write(f"{count}.json", json.dumps({"images": images, "annotations": annotations}))
        references = read_references(str(file), None, "en")
        assert references[1].captions[:2] == ("A dog with 1 balls.", f"A dog with {count + 1} balls.")
        return lambda: read_references(str(file), None, "en")

    assert_linear(read)


def test_annotations_without_a_list_of_images_or_names_of_files(write) -> None:
    rows = [{"image_id": 7.0, "caption": "A dog."}, {"image_id": "7", "caption": "The dog."}]
    expected = [(("7",), ("A dog.", "The dog."))]
    assert read(write("a.json", json.dumps({"annotations": rows}))) == expected
    assert read(write("b.json", json.dumps({"images": [{"id": 7}], "annotations": rows}))) == expected
    assert read(write("c.json", json.dumps(rows))) == expected
