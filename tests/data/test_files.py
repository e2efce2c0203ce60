import os
from pathlib import Path

import pytest

from showtell.data.files import FileIndex, expand_path, resolve_folder
from showtell.data.text_files import collapse_whitespace, read_lines
from showtell.errors import BadData


def test_lines_keep_their_numbers_over_blank_lines_and_windows_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\n\r\n  \nfour\xe2\x80\xa8still four")
    assert list(read_lines(file)) == [(1, "one"), (4, "four\u2028still four")]


def test_a_byte_that_is_not_utf8_is_shown_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.txt"
    file.write_bytes("a dog\na café\n".encode("latin-1"))
    with pytest.raises(BadData, match=r"latin\.txt, line 2: found the byte 0xe9"):
        list(read_lines(file))


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_what_cannot_be_read_is_bad_data(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadData, match="found nothing to read"):
        list(read_lines(tmp_path / name))


def test_folder_of_says_whether_it_found_nothing_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadData, match="file: found a file; expected a folder"):
        resolve_folder(str(tmp_path / "file"))
    with pytest.raises(BadData, match="absent: found no such folder"):
        resolve_folder(str(tmp_path / "absent"))


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/reader")
    assert expand_path("~/photos") == Path("/home/reader/photos")


def test_tidy_makes_one_line() -> None:
    assert collapse_whitespace("  a dog\n\truns ") == "a dog runs"


def test_an_index_scans_each_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[Path] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (scanned.append(folder), scandir(folder))[1])
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    there = FileIndex()
    assert tmp_path / "a.jpg" in there
    assert tmp_path / "b.jpg" in there
    assert tmp_path / "c.jpg" not in there
    assert tmp_path / "folder.jpg" not in there
    assert scanned == [tmp_path]


def test_a_name_that_the_scan_lacks_is_looked_up(tmp_path: Path) -> None:
    there = FileIndex()
    assert tmp_path / "late.jpg" not in there
    # Stands in for a disk that ignores case, on which A.JPG is there although the scan says a.jpg.
    (tmp_path / "late.jpg").touch()
    assert tmp_path / "late.jpg" in there


def test_an_index_has_nothing_in_folders_that_do_not_exist(tmp_path: Path) -> None:
    assert tmp_path / "absent" / "a.jpg" not in FileIndex()
    assert tmp_path / "a\0.jpg" not in FileIndex()
