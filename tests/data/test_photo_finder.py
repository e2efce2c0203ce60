"""Names in tables that are not exactly names of files."""

import unicodedata
from pathlib import Path

import pytest

from showtell.data.photo_finder import AmbiguousName, PhotoFinder, comparable_name
from showtell.data.tables import read_csv
from showtell.errors import BadData, MissingImages

NFC, NFD = unicodedata.normalize("NFC", "café.jpg"), unicodedata.normalize("NFD", "café.jpg")


@pytest.mark.parametrize(
    ("files", "written", "found"),
    [
        (["a.jpg"], "a.jpg", "a.jpg"),
        (["a.jpg"], "./a.jpg", "a.jpg"),
        (["sub/a.jpg"], "sub\\a.jpg", "sub/a.jpg"),
        (["a.jpg"], ".\\a.jpg", "a.jpg"),
        (["a.jpg"], "C:\\Users\\me\\photos\\a.jpg", "a.jpg"),
        (["photos/a.jpg", "a.jpg"], "C:\\Users\\me\\photos\\a.jpg", "photos/a.jpg"),
        (["a.jpg"], "/home/me/photos/a.jpg", "a.jpg"),
        (["a.jpg"], "../photos/a.jpg", "a.jpg"),
        (["a.jpg"], "Images/a.jpg", "a.jpg"),
        (["Images/a.jpg"], "a.jpg", "Images/a.jpg"),
        (["Images/a.jpg"], "images/A.JPG", "Images/a.jpg"),
        (["x/deep/images/a.jpg"], "images/a.jpg", "x/deep/images/a.jpg"),
        (["IMG_1.JPG"], "img_1.jpg", "IMG_1.JPG"),
        (["IMG_1.JPG", "img_1.jpg"], "img_1.jpg", "img_1.jpg"),
        ([NFC], NFD, NFC),
        ([NFD], NFC, NFD),
        ([f"Sub/{NFD}"], f"sub\\{NFC}", f"Sub/{NFD}"),
        (["straße.jpg"], "STRASSE.JPG", "straße.jpg"),
        (["my dog.jpg"], "my%20dog.jpg", "my dog.jpg"),
        (["100%.jpg"], "100%.jpg", "100%.jpg"),
        (["my dog.jpg"], "file:///home/me/my%20dog.jpg", "my dog.jpg"),
        (["a.jpg"], "https://example.org/photos/a.jpg", "a.jpg"),
        (["1000268201_693b08cb0e.jpg"], "1000268201_693b08cb0e", "1000268201_693b08cb0e.jpg"),
        (["b/42.png"], "42", "b/42.png"),
        # A photo of the same name in another folder is another photo.
        (["val/1.jpg"], "train/1.jpg", None),
        (["a.png"], "a.jpg", None),
        (["a.jpg.png"], "a.jpg", None),
        ([".hidden/a.jpg"], "a.jpg", None),
        (["a.jpg"], "", None),
        (["a.jpg"], "..", None),
        (["a.jpg"], "x" * 5000, None),
    ],
)
def test_what_a_name_finds(tmp_path: Path, files: list[str], written: str, found: str | None) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    path = PhotoFinder(tmp_path).find(tmp_path, written)
    assert (path and (tmp_path / path).resolve()) == (found and tmp_path / found)


@pytest.mark.parametrize(
    ("files", "written"),
    [(["IMG_1.JPG", "img_1.jpg"], "Img_1.jpg"), (["a/1.jpg", "b/1.jpg"], "1.jpg"), (["a.jpg", "a.png"], "a")],
)
def test_a_name_of_several_photos_is_refused(tmp_path: Path, photos, write, files: list[str], written: str) -> None:
    photos(*files)
    with pytest.raises(AmbiguousName):
        PhotoFinder(tmp_path).find(tmp_path, written)
    table = write("t.csv", f"image,caption\n{written},A dog\n")
    with pytest.raises(BadData, match=rf"t\.csv, line 2: found '{written}', which may be .* or .*; expected the path"):
        read_csv(str(table), ("en",))


def test_two_names_that_lead_to_one_photo_are_refused(photos, write) -> None:
    photos("1.jpg")
    table = write("t.csv", "image,caption\n/data/train/1.jpg,A dog\n/data/val/1.jpg,A cat\n")
    with pytest.raises(BadData, match=r"line 3: found '/data/val/1\.jpg', for which there is only .*1\.jpg, as for"):
        read_csv(str(table), ("en",))


def test_spellings_of_one_photo_are_grouped(photos, write) -> None:
    photos("Images/A.jpg")
    names = ("Images/A.jpg", "images\\a.jpg", "A.jpg", "./Images/A.JPG")
    table = write("t.csv", "image,caption\n" + "".join(f"{name},{n}\n" for n, name in enumerate(names)))
    (sample,) = read_csv(str(table), ("en",))
    assert (sample.name, sample.captions) == ("Images/A.jpg", ("0", "1", "2", "3"))


def test_all_missing_photos_are_named_as_they_are_written(photos, write) -> None:
    photos("a.jpg")
    table = write("t.csv", "image,caption\na.jpg,A dog\nno\\b.jpg,A cat\nc.jpg,A cow\n")
    with pytest.raises(MissingImages) as caught:
        read_csv(str(table), ("en",))
    assert caught.value.names == ("no\\b.jpg", "c.jpg")


def test_comparable_names() -> None:
    assert comparable_name(f"A\\{NFD}") == comparable_name(f"./a/{NFC}") == f"a/{NFC}"
    assert comparable_name("a/b.jpg") != comparable_name("c/b.jpg")
