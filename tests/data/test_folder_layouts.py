"""Folders as people have them: names of splits, wrapping folders, siblings, and where captions lie."""

from pathlib import Path

import pytest

from showtell.data.folder import read_folder
from showtell.data.omissions import Omissions
from showtell.data.rows import split_from_hash
from showtell.data.split_folders import split_of_folder_name
from showtell.errors import BadData, MissingImages


@pytest.mark.parametrize(
    ("split", "names"),
    {
        "train": ["train", "Train", "TRAIN", "training", "trn", "train2017", "train_images", "Train Set", "trainset"],
        "dev": ["val", "Val", "valid", "Validation", "dev", "development", "val2014", "valid_set", "ValImages"],
        "test": ["test", "Testing", "tst", "test_images", "test.data", "test 1", "testset2"],
        None: [
            "eval",
            "trainval",
            "train_val",
            "tests",
            "images",
            "set",
            "dogs",
            "train_dogs",
            "latest",
            "trainA",
            "_",
        ],
    }.items(),
)
def test_names_of_split_folders(split: str | None, names: list[str]) -> None:
    assert {name: split_of_folder_name(name) for name in names} == dict.fromkeys(names, split)


@pytest.mark.parametrize(
    "layout",
    ["{}", "dataset/{}", "dataset/images/{}", "{}/images", "dataset/{}/images/part1", "my photos (1)/{}/dogs"],
)
def test_split_folders_at_any_depth(tmp_path: Path, photos, write, layout: str) -> None:
    expected = {}
    for folder, split in (("Training", "train"), ("Valid", "dev"), ("TEST", "test")):
        stem = f"{layout.format(folder)}/a"
        photos(f"{stem}.jpg")
        write(f"{stem}.txt", "A dog")
        expected[f"{stem}.jpg"] = split
    assert {s.name: s.split for s in read_folder(str(tmp_path), ("en",))} == expected


@pytest.mark.parametrize("form", ["sidecars", "metadata"])
@pytest.mark.parametrize(
    ("extra", "place", "found"),
    [
        ("holdout/x.jpg", "holdout", "1 captioned photo in a folder beside the split folders train, val"),
        ("Eval Photos/x.jpg", "Eval Photos", "1 captioned photo in a folder beside"),
        ("holdout/deep/x.jpg", "holdout", "1 captioned photo in a folder beside"),
        ("x.jpg", "", r"1 captioned photo beside the split folders train, val \(x\.jpg\)"),
    ],
)
def test_captioned_photos_beside_split_folders_are_refused_by_name(
    tmp_path: Path, photos, write, form: str, extra: str, place: str, found: str
) -> None:
    names = ["train/a.jpg", "val/b.jpg", extra]
    photos(*names)
    if form == "sidecars":
        for name in names:
            write(str(Path(name).with_suffix(".txt")), "A dog")
    else:
        write("metadata.csv", "file_name,text\n" + "".join(f"{name},A dog\n" for name in names))
    with pytest.raises(BadData) as caught:
        read_folder(str(tmp_path), ("en",))
    assert str(caught.value).startswith(f"{tmp_path / place}: found ") and "\n" not in str(caught.value)
    assert caught.match(found) and caught.match("rename or move it")


@pytest.mark.parametrize(
    "names",
    [
        *(("dogs_train", "dogs_val"), ("x/Train Dogs", "x/Dogs, test"), ("v1.train", "v1.valid")),
        *(("trainA", "testA"), ("valentine_train", "valentine_test")),
    ],
)
def test_folders_that_differ_by_a_split_only_are_no_subjects(tmp_path: Path, photos, write, names) -> None:
    for name in names:
        photos(f"{name}/a.jpg")
        write(f"{name}/a.txt", "A dog")
    with pytest.raises(BadData, match=r"found the folders .* and .*, which may mean splits; expected fol"):
        read_folder(str(tmp_path), ("en",))


def test_photos_of_trains_are_no_split(tmp_path: Path, photos, write) -> None:
    for name in ("steam train", "train station", "test pilots", "dogs", "trains", "testers"):
        photos(f"{name}/a.jpg")
        write(f"{name}/a.txt", "A dog")
    assert all(s.split == split_from_hash(s.name) for s in read_folder(str(tmp_path), ("en",)))


def test_a_wrapping_folder_has_siblings_too(tmp_path: Path, photos, write) -> None:
    for name in ("data/train/a", "data/val/b", "more/c"):
        photos(f"{name}.jpg")
        write(f"{name}.txt", "A dog")
    with pytest.raises(BadData, match=r"/more: found 1 captioned photo"):
        read_folder(str(tmp_path), ("en",))


def test_uncaptioned_photos_beside_split_folders_are_counted(tmp_path: Path, photos, write) -> None:
    for name in ("train/a", "val/b"):
        photos(f"{name}.jpg")
        write(f"{name}.txt", "A dog")
    photos("preview.jpg", "test/c.jpg")
    omissions = Omissions()
    assert len(read_folder(str(tmp_path), ("en",), omissions)) == 2
    assert sorted(omissions.lines()) == [
        "preview.jpg: no caption: no preview.txt beside it",
        "test/c.jpg: no caption: no c.txt beside it",
    ]


def test_kohya_s_numbers_are_folders_like_others(tmp_path: Path, photos, write) -> None:
    photos("10_dog/a.jpg")
    write("10_dog/a.caption", "A dog\n")
    (sample,) = read_folder(str(tmp_path), ("en",))
    assert (sample.name, sample.captions, sample.split) == ("10_dog/a.jpg", ("A dog",), split_from_hash("10_dog/a.jpg"))


@pytest.mark.parametrize(
    ("photo", "text"),
    [
        ("a.jpg", "a.txt"),
        ("a.jpg", "a.caption"),
        ("a.jpg", "a.captions"),
        ("a.jpg", "A.TXT"),
        ("a.JPG", "a.jpg.txt"),
        ("a.b.jpg", "a.b.txt"),
        ("a.jpg", "a.en.txt"),
        ("cafe\u0301.jpg", "caf\u00e9.txt"),
        ("images/a.jpg", "captions/a.txt"),
        ("Images/train/a.jpg", "Captions/train/a.txt"),
        ("train/images/a.jpg", "train/captions/a.txt"),
        ("images/a.jpg", "a.txt"),
    ],
)
def test_where_captions_of_a_photo_lie(tmp_path: Path, photos, write, photo: str, text: str) -> None:
    photos(photo)
    write(text, "A dog\r\n\r\nThe dog\r\n")
    omissions = Omissions()
    (sample,) = read_folder(str(tmp_path), ("en",), omissions)
    assert (sample.name, sample.captions, omissions.lines()) == (photo, ("A dog", "The dog"), [])


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        ('{"caption": "A dog", "url": "https://x/a.jpg"}', ("A dog",)),
        ('{"captions": ["A dog", null, "The dog"]}', ("A dog", "The dog")),
        ('{"Text": "A dog"}', ("A dog",)),
    ],
)
def test_json_beside_a_photo(tmp_path: Path, photos, write, text: str, captions: tuple[str, ...]) -> None:
    photos("a.jpg", "b.jpg")
    write("a.json", text)
    write("b.txt", "A cat")
    write("b.json", '{"caption": "not this one"}')
    write("index.json", '{"photos": 2}')
    omissions = Omissions()
    samples = read_folder(str(tmp_path), ("en",), omissions)
    assert [s.captions for s in samples] == [captions, ("A cat",)] and not omissions.faults


def test_captions_by_language(tmp_path: Path, photos, write) -> None:
    photos("a.jpg", "b.jpg")
    write("a.en.txt", "A dog")
    write("a.ar.txt", "كلب")
    write("b.ar.txt", "قطة")
    samples = read_folder(str(tmp_path), ("en", "ar"))
    assert [(s.name, s.language, s.captions) for s in samples] == [
        ("a.jpg", "en", ("A dog",)),
        ("a.jpg", "ar", ("كلب",)),
        ("b.jpg", "ar", ("قطة",)),
    ]
    omissions = Omissions()
    assert [s.name for s in read_folder(str(tmp_path), ("en",), omissions)] == ["a.jpg"]
    assert omissions.summary().endswith("skipped: 2 ar captions")


def test_two_caption_files_of_one_photo_are_refused(tmp_path: Path, photos, write) -> None:
    photos("a.jpg")
    write("a.txt", "dog, tag")
    write("a.caption", "A dog")
    with pytest.raises(BadData, match=r"a\.txt: found a\.caption for a\.jpg, too; expected one file of captions"):
        read_folder(str(tmp_path), ("en",))


def test_photos_of_one_stem_with_whole_names_beside_them(tmp_path: Path, photos, write) -> None:
    photos("a.jpg", "a.png")
    write("a.jpg.txt", "A dog")
    write("a.png.txt", "A cat")
    assert [(s.name, s.captions) for s in read_folder(str(tmp_path), ("en",))] == [
        ("a.jpg", ("A dog",)),
        ("a.png", ("A cat",)),
    ]


def test_a_table_of_one_split_never_names_a_photo_of_another(tmp_path: Path, photos, write) -> None:
    photos("train/a.jpg", "train/b.jpg", "val/a.jpg")
    write("train/metadata.csv", "file_name,text\na.jpg,A dog\nb.jpg,A dog\n")
    write("val/metadata.csv", "file_name,text\na.jpg,A cat\nb.jpg,A cat\n")
    with pytest.raises(MissingImages) as caught:
        read_folder(str(tmp_path), ("en",))
    assert caught.value.names == ("val/b.jpg",)
