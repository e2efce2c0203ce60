import json
from pathlib import Path

import pytest

from showtell.data.folder import read_folder
from showtell.data.rows import split_from_hash
from showtell.errors import BadData, MissingImages


def test_sidecars_in_split_folders(tmp_path: Path, photos, write) -> None:
    photos("train/b.jpg", "train/deep/a.PNG", "val/c.jpeg", "test/d.webp")
    for stem in ("train/deep/a", "val/c", "test/d"):
        write(f"{stem}.txt", "A caption .\n")
    write("train/b.txt", "\ufeff One dog .\r\n\r\n Two  dogs .")
    write("README.txt", "About these photos.")
    write(".hidden/x.txt", "no caption")
    write("train/._b.jpg", "not a photo")
    assert [(s.name, s.split, s.captions[0]) for s in read_folder(str(tmp_path), ("en",))] == [
        ("test/d.webp", "test", "A caption ."),
        ("train/b.jpg", "train", "One dog ."),
        ("train/deep/a.PNG", "train", "A caption ."),
        ("val/c.jpeg", "dev", "A caption ."),
    ]
    assert read_folder(str(tmp_path), ("en",))[1].captions == ("One dog .", "Two dogs .")


def test_the_language_of_sidecars_is_the_one_asked_for(tmp_path: Path, photos, write) -> None:
    photos("a.jpg")
    write("a.txt", "كلب\n")
    assert read_folder(str(tmp_path), ("ar",))[0].language == "ar"
    with pytest.raises(BadData, match=r"a\.txt, line 1: found captions of no stated language"):
        read_folder(str(tmp_path), ("en", "ar"))


def test_metadata_at_the_top(tmp_path: Path, photos, write) -> None:
    photos("train/a.jpg", "test/b.jpg", "test/unnamed.jpg")
    write(
        "metadata.jsonl",
        '{"file_name": "train/a.jpg", "text": "A dog"}\n{"file_name": "test/b.jpg", "captions": ["A cat", "Cats"]}\n',
    )
    assert [(s.name, s.split, s.captions) for s in read_folder(str(tmp_path), ("en",))] == [
        ("train/a.jpg", "train", ("A dog",)),
        ("test/b.jpg", "test", ("A cat", "Cats")),
    ]


def test_metadata_in_each_split(tmp_path: Path, photos, write) -> None:
    for split in ("train", "validation"):
        photos(f"{split}/0001.jpg")
        write(f"{split}/metadata.jsonl", json.dumps({"file_name": "0001.jpg", "text": f"In {split}"}))
    assert [(s.name, s.split, s.captions) for s in read_folder(str(tmp_path), ("en",))] == [
        ("train/0001.jpg", "train", ("In train",)),
        ("validation/0001.jpg", "dev", ("In validation",)),
    ]


def test_a_stated_split_outranks_the_folder(tmp_path: Path, photos, write) -> None:
    photos("train/a.jpg")
    write("metadata.jsonl", '{"file_name": "train/a.jpg", "text": "A dog", "split": "test"}\n')
    assert read_folder(str(tmp_path), ("en",))[0].split == "test"


def test_a_photo_without_captions_is_named(tmp_path: Path, photos) -> None:
    photos("a.jpg")
    with pytest.raises(BadData, match=r"a\.jpg: found no captions; expected a\.txt beside it"):
        read_folder(str(tmp_path), ("en",))


def test_without_split_folders_the_hash_decides(tmp_path: Path, photos, write) -> None:
    photos("loose.jpg", "dogs/b.jpg")
    write("loose.txt", "A dog")
    write("dogs/b.txt", "A dog")
    names = ["loose.jpg", "dogs/b.jpg"]
    assert [(s.name, s.split) for s in read_folder(str(tmp_path), ("en",))] == [(n, split_from_hash(n)) for n in names]


def test_an_empty_sidecar_is_named(tmp_path: Path, photos, write) -> None:
    photos("a.jpg")
    write("a.txt", " \n\n")
    with pytest.raises(BadData, match=r"a\.txt, line 1: found an empty caption"):
        read_folder(str(tmp_path), ("en",))


def test_two_photos_of_one_stem_are_named(tmp_path: Path, photos, write) -> None:
    photos("a.jpg", "a.png")
    write("a.txt", "A dog")
    with pytest.raises(BadData, match=r"a\.png: found a\.jpg beside it; expected one image for each stem"):
        read_folder(str(tmp_path), ("en",))


def test_metadata_that_names_no_file_gives_its_line(tmp_path: Path, photos, write) -> None:
    photos("train/a.jpg")
    write("train/metadata.jsonl", '{"file_name": "a.jpg", "text": "A dog"}\n{"file_name": "b.jpg", "text": "A cat"}\n')
    with pytest.raises(
        BadData, match=r"metadata\.jsonl, line 2: found captions of 'train/b.jpg', but no file .*train/b\.jpg"
    ):
        read_folder(str(tmp_path), ("en",))


def test_missing_photos_of_one_name_in_two_folders_are_both_known(tmp_path: Path, write) -> None:
    for split in ("train", "val"):
        write(f"{split}/metadata.jsonl", '{"file_name": "0001.jpg", "text": "A dog"}')
    with pytest.raises(MissingImages) as caught:
        read_folder(str(tmp_path), ("en",))
    assert caught.value.names == ("train/0001.jpg", "val/0001.jpg")


def test_empty_and_missing_folders_are_named(tmp_path: Path, write) -> None:
    with pytest.raises(BadData, match="found no images"):
        read_folder(str(tmp_path), ("en",))
    with pytest.raises(BadData, match="absent: found no such folder"):
        read_folder(str(tmp_path / "absent"), ("en",))
    write("metadata.jsonl", "\n")
    with pytest.raises(BadData, match="found no captions"):
        read_folder(str(tmp_path), ("en",))
