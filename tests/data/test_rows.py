from collections import Counter
from pathlib import Path

import pytest

from showtell.data.rows import Row, relative_name, samples_from_rows, split_from_hash
from showtell.data.tables import read_csv
from showtell.errors import BadData, MissingImages


@pytest.fixture
def table(tmp_path: Path, photos) -> Path:
    photos("a.jpg", "sub/b.jpg")
    (tmp_path / "table").touch()
    return tmp_path / "table"


def test_captions_are_gathered_by_image_and_language(table: Path) -> None:
    rows = [
        Row(table, 1, "sub/b.jpg", ("one",), "dev", "en"),
        Row(table, 2, "a.jpg", ("two",), "train", "en"),
        Row(table, 3, "./sub/b.jpg", ("three", "four"), "dev", "en"),
        Row(table, 4, "a.jpg", ("اثنان",), "train", "ar"),
        Row(table, 5, "absent.jpg", ("zwei",), "train", "de"),
    ]
    samples = samples_from_rows(rows, ("ar", "en"), table)
    assert [(s.name, s.language, s.captions, s.split) for s in samples] == [
        ("sub/b.jpg", "en", ("one", "three", "four"), "dev"),
        ("a.jpg", "ar", ("اثنان",), "train"),
        ("a.jpg", "en", ("two",), "train"),
    ]
    assert samples[0].image == table.parent / "sub/b.jpg"


def test_languages_are_the_same_in_any_spelling_and_what_is_none_is_another_language(table: Path) -> None:
    rows = [
        Row(table, 1, "a.jpg", ("um",), "train", "pt_br"),
        Row(table, 2, "a.jpg", ("dois",), "train", "PT-BR"),
        Row(table, 3, "a.jpg", ("one",), "train", "English"),
    ]
    (sample,) = samples_from_rows(rows, ("pt-BR",), table)
    assert (sample.language, sample.captions) == ("pt-BR", ("um", "dois"))
    with pytest.raises(BadData, match="captions in English, pt-BR only; expected captions in en"):
        samples_from_rows(rows, ("en",), table)


def test_without_a_split_the_name_decides(table: Path) -> None:
    (sample,) = samples_from_rows([Row(table, 1, "a.jpg", ("one",))], ("en",), table)
    assert sample.split == split_from_hash("a.jpg")


def test_a_hash_gives_about_a_tenth_to_dev_and_never_changes_its_mind() -> None:
    splits = [split_from_hash(f"{i}.jpg") for i in range(5000)]
    assert splits == [split_from_hash(f"{i}.jpg") for i in range(5000)]
    counts = Counter(splits)
    assert set(counts) == {"train", "dev"}
    assert 400 < counts["dev"] < 600
    # A change of the hash would move photos of existing sets from train to dev.
    assert [i for i in range(40) if splits[i] == "dev"] == [4, 37]
    assert split_from_hash("\udcff.jpg") in ("train", "dev")


def test_an_image_in_two_splits_is_refused(table: Path) -> None:
    rows = [Row(table, 3, "a.jpg", ("one",), "train"), Row(table, 9, "a.jpg", ("two",), "dev")]
    with pytest.raises(BadData, match=r"table, line 9: found 'a.jpg' in 'dev'; expected 'train', as in table, line 3"):
        samples_from_rows(rows, ("en",), table)


def test_an_image_that_does_not_exist_is_refused(table: Path) -> None:
    with pytest.raises(BadData, match=r"table, line 7: found captions of 'c.jpg', but no file .*c.jpg"):
        samples_from_rows([Row(table, 7, "c.jpg", ("one",))], ("en",), table)


def test_several_languages_need_to_be_told_apart(table: Path) -> None:
    with pytest.raises(BadData, match=r"table, line 1: found captions of no stated language; .* en, ar"):
        samples_from_rows([Row(table, 1, "a.jpg", ("one",))], ("en", "ar"), table)


def test_a_language_without_captions_is_refused(table: Path) -> None:
    with pytest.raises(BadData, match="found captions in en only; expected captions in ar"):
        samples_from_rows([Row(table, 1, "a.jpg", ("one",), None, "en")], ("en", "ar"), table)
    with pytest.raises(BadData, match="table: found no captions; expected captions in en"):
        samples_from_rows([], ("en",), table)


def test_names_outside_the_folder_are_whole_paths() -> None:
    assert relative_name(Path("/data/set"), Path("/data/set/a/b.jpg")) == "a/b.jpg"
    assert relative_name(Path("/data/set"), Path("/photos/b.jpg")) == "/photos/b.jpg"


def test_all_missing_images_are_known(write, photos) -> None:
    photos("b.jpg")
    file = write("t.csv", "image,caption\na.jpg,A dog\nb.jpg,A cat\nc.jpg,A cow\na.jpg,Dogs\n")
    with pytest.raises(MissingImages, match=r"t.csv, line 2: found captions of 'a.jpg', .*, nor 1 other;") as caught:
        read_csv(str(file), ("en",))
    assert caught.value.names == ("a.jpg", "c.jpg")
