import os
from pathlib import Path

import pytest

from showtell.data.files import FileIndex, expand_path, resolve_folder
from showtell.errors import BadData


def test_folder_of_says_whether_it_found_nothing_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadData, match="file: found a file; expected a folder"):
        resolve_folder(str(tmp_path / "file"))
    with pytest.raises(BadData, match="absent: found no such folder"):
        resolve_folder(str(tmp_path / "absent"))


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/reader")
    assert expand_path("~/photos") == Path("/home/reader/photos")


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
