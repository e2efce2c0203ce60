"""Every file of a folder is a sample, named, or counted."""

from pathlib import Path

import pytest

from showtell.data.folder import read_folder
from showtell.data.omissions import Omissions
from showtell.errors import BadData


def accounts(root: Path) -> tuple[list[str], Omissions]:
    omissions = Omissions()
    return [sample.name for sample in read_folder(str(root), ("en",), omissions)], omissions


def test_what_is_left_out_is_named_or_counted(tmp_path: Path, photos, write) -> None:
    photos("a.jpg", "b.jpg", "c.jpg", "a.attention.png")
    write("a.txt", "A dog")
    write("b.txt", " \n")
    write("lost.txt", "A cat")
    write("lost.caption", "A cat")
    for name in ("README.txt", "notes.txt", "Classes.txt", "licence.txt"):
        write(name, "about")
    write("d.svg", "<svg/>")
    write("d.txt", "A drawing")
    (tmp_path / "e.CR2").write_bytes(b"II*\0\x10\0\0\0CR\x02\0")
    for name in ("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/._a.jpg", ".git/x.jpg", "._a.jpg", "Thumbs.db"):
        write(name, "x")
    write("film.mp4", "x")
    names, omissions = accounts(tmp_path)
    assert names == ["a.jpg"]
    assert [line.split("; ")[0] for line in omissions.lines()] == [
        "d.svg: unsupported: found SVG",
        "e.CR2: unsupported: found camera raw",
        "b.jpg: no caption: b.txt is empty",
        "c.jpg: no caption: no c.txt beside it",
        "lost.caption: captions of no photo: no image lost beside it",
        "lost.txt: captions of no photo: no image lost beside it",
    ]
    assert omissions.summary() == (
        "left out: 2 pictures of a format that is not read (d.svg, e.CR2), 2 photos without captions (b.jpg, c.jpg), "
        "2 files with captions of no photo (lost.caption, lost.txt); "
        "skipped: 2 system folders, 1 hidden folder, 1 hidden file, 1 system file, 1 attention map, 5 other files"
    )


def test_a_name_with_a_line_end_is_one_line(tmp_path: Path, photos, write) -> None:
    photos("a.jpg", "b\n.jpg")
    write("a.txt", "A dog")
    _, omissions = accounts(tmp_path)
    assert len(omissions.lines()) == 1 and omissions.lines()[0].startswith(r"b\n.jpg: ")
    assert "\n" not in "".join(omissions.lines()) + omissions.summary()


def test_photos_that_metadata_does_not_name(tmp_path: Path, photos, write) -> None:
    photos("train/a.jpg", "train/b.jpg")
    write("train/metadata.csv", "file_name,text\na.jpg,A dog\n")
    names, omissions = accounts(tmp_path)
    assert names == ["train/a.jpg"]
    assert omissions.lines() == ["train/b.jpg: no caption in train/metadata.csv"]
    for text in ("a.txt", "b.txt"):
        write(f"train/{text}", "Another dog")
    names, omissions = accounts(tmp_path)
    (line,) = omissions.lines()
    assert names == ["train/a.jpg"] and line.endswith("; beside a table, files of single photos are not read")
    assert omissions.summary().endswith("skipped: 2 text files beside a table")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("captions.csv", "if captions.csv holds the captions of all, give csv:{}/captions.csv"),
        ("captions.jsonl", "give jsonl:{}/captions.jsonl"),
        ("names.txt", "if names.txt holds the captions of all, give csv:{}/names.txt"),
        ("Captions.txt", "if Captions.txt holds the captions of all, give csv:{}/Captions.txt"),
        ("notes.txt", "a.txt beside it, one caption per line, or a metadata.jsonl$"),
    ],
)
def test_a_folder_in_which_no_photo_has_captions_says_what_may_hold_them(
    tmp_path: Path, photos, write, text: str, expected: str
) -> None:
    photos("a.jpg", "b.jpg")
    contents = {"notes.txt": "All dogs, really", "names.txt": "a.jpg\tA dog\nb.jpg\tA cat\n"}
    write(text, contents.get(text, "image,caption\na.jpg,A dog\n"))
    with pytest.raises(BadData, match=r"a\.jpg: found no captions, nor for 1 other photos; expected a\.txt") as caught:
        read_folder(str(tmp_path), ("en",))
    assert caught.match(expected.format(tmp_path))


def test_only_pictures_that_are_not_read(tmp_path: Path, write) -> None:
    write("a.svg", "<svg/>")
    with pytest.raises(BadData, match="found no images but 1 of a format that is not read"):
        read_folder(str(tmp_path), ("en",))


def test_two_tables_in_one_folder(tmp_path: Path, photos, write) -> None:
    photos("a.jpg")
    write("metadata.csv", "file_name,text\na.jpg,A dog\n")
    write("metadata.jsonl", '{"file_name": "a.jpg", "text": "A dog"}')
    with pytest.raises(BadData, match=r"metadata\.jsonl: found metadata\.csv beside it; expected one of them"):
        read_folder(str(tmp_path), ("en",))
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.csv").rename(tmp_path / "metadata.parquet")
    with pytest.raises(BadData, match=r"expected data=parquet:.*metadata\.parquet, which reads it"):
        read_folder(str(tmp_path), ("en",))


def test_linked_folders_are_searched_once(tmp_path: Path, photos, write) -> None:
    photos("elsewhere/a.jpg")
    write("elsewhere/a.txt", "A dog")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "set")
    assert accounts(tmp_path / "set")[0] == ["train/a.jpg"]


def test_a_photo_without_a_suffix_is_known_by_its_content(tmp_path: Path, photos, write) -> None:
    photos("a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a")
    write("a.txt", "A dog")
    assert accounts(tmp_path)[0] == ["a"]


def test_a_table_that_names_a_picture_of_a_format_that_is_not_read(tmp_path: Path, photos, write) -> None:
    photos("a.jpg")
    write("b.nef", "raw")
    write("metadata.csv", "file_name,text\na.jpg,A dog\nb.nef,A cat\n")
    omissions = Omissions()
    assert [sample.name for sample in read_folder(str(tmp_path), ("en",), omissions)] == ["a.jpg"]
    [line] = omissions.lines()
    assert line.startswith("b.nef: unsupported: found camera raw")
    (tmp_path / "a.jpg").unlink()
    write("metadata.csv", "file_name,text\nb.nef,A cat\n")
    with pytest.raises(BadData, match="found no images but 1 of a format that is not read"):
        read_folder(str(tmp_path), ("en",))
