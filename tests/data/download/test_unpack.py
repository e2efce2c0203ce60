"""Archives with hostile names, links, bombs and damage: refused, with nothing left behind."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from showtell.data.download.catalogue import Archive, Content
from showtell.data.download.unpack import Found, inspect, unpack
from showtell.errors import BadData

CONTENTS = (Content("photos", 2), Content("notes/captions.txt"))
ARCHIVE = Archive("data.zip", CONTENTS, max_unpacked=100_000)
FILES = {"photos/1.jpg": b"one", "photos/2.jpg": b"two!", "notes/captions.txt": b"1.jpg a dog"}


def zipped(folder: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(folder / "data.zip", "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return folder / "data.zip"


def tarred(folder: Path, files: dict[str, bytes], mode: str = "w:gz", *others: tarfile.TarInfo) -> Path:
    with tarfile.open(folder / "data.zip", mode) as file:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for info in others:
            file.addfile(info)
    return folder / "data.zip"


def unpacked(file: Path, folder: Path) -> dict[str, Found]:
    return unpack(file, ARCHIVE, CONTENTS, folder, lambda count: None)


def left(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("prefix", ["", "./", "data/"])
@pytest.mark.parametrize("mode", ["zip", "w:gz", "w"])
def test_what_the_table_lists_is_unpacked_and_nothing_else(mode: str, prefix: str, tmp_path: Path) -> None:
    others = {"__MACOSX/photos/._1.jpg": b"x", "photos/._2.jpg": b"x", "photos/readme.txt": b"x", "more/1.jpg": b"x"}
    files = {prefix + name: content for name, content in {**others, **FILES}.items()}
    file = zipped(tmp_path, files) if mode == "zip" else tarred(tmp_path, files, mode)
    target = tmp_path / "target"
    assert unpacked(file, target) == {"photos": Found(2, 7), "notes/captions.txt": Found(1, 11)}
    assert left(target) == FILES
    assert [inspect(target, content) for content in CONTENTS] == [Found(2, 7), Found(1, 11)]


HOSTILE = [
    *("../evil.txt", "photos/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:evil.txt", "photos/..\\..\\evil.txt"),
    *("photos/../3.jpg", "//host/share/3.jpg"),
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("mode", ["zip", "w:gz"])
def test_a_name_outside_of_the_folder(mode: str, name: str, tmp_path: Path) -> None:
    files = {**FILES, name: b"evil"}
    file = zipped(tmp_path, files) if mode == "zip" else tarred(tmp_path, files)
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    with pytest.raises(BadData, match="outside of its folder"):
        unpacked(file, target)
    assert left(tmp_path) == {"data.zip": file.read_bytes()} and not Path("/tmp/evil.txt").exists()


def link(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_a_tar(kind: bytes, tmp_path: Path) -> None:
    file = tarred(tmp_path, FILES, "w:gz", link("photos/3.jpg", kind))
    with pytest.raises(BadData, match="a link or a device"):
        unpacked(file, tmp_path / "target")
    assert left(tmp_path) == {"data.zip": file.read_bytes()}


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    file = zipped(tmp_path, FILES)
    info = zipfile.ZipInfo("photos/3.jpg")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "a") as opened:
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(BadData, match="a link or a device"):
        unpacked(file, tmp_path / "target")


@pytest.mark.parametrize("mode", ["zip", "w:gz"])
def test_a_photo_that_expands_beyond_the_table(mode: str, tmp_path: Path) -> None:
    files = {**FILES, "photos/2.jpg": bytes(200_000)}
    file = zipped(tmp_path, files) if mode == "zip" else tarred(tmp_path, files)
    with pytest.raises(BadData, match="far more bytes than the data set has"):
        unpacked(file, tmp_path / "target")
    assert not (tmp_path / "target" / "photos").exists()


def test_a_tar_that_expands_in_what_nobody_wants(tmp_path: Path) -> None:
    file = tarred(tmp_path, {"waste": bytes(20_000_000), **FILES})
    with pytest.raises(BadData, match="far more bytes than the data set has"):
        unpacked(file, tmp_path / "target")


def test_a_zip_that_lies_about_a_size(tmp_path: Path) -> None:
    file = zipped(tmp_path, {**FILES, "photos/2.jpg": bytes(90_000)})
    data = file.read_bytes()
    assert data.count((90_000).to_bytes(4, "little")) == 2  # before the file, and in the directory
    file.write_bytes(data.replace((90_000).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    with pytest.raises(BadData):
        unpacked(file, tmp_path / "target")
    assert not (tmp_path / "target" / "photos").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"photos/2.jpg": None}, "found 1 of them; expected 2 photos in photos"),
        ({"photos/3.jpg": b"x"}, "found 3 of them; expected 2 photos in photos"),
        ({"notes/captions.txt": None}, "found 0 of them; expected notes/captions.txt"),
        ({"data/photos/1.jpg": b"x"}, "found 'data/photos/1.jpg' twice"),
        ({"photos/2.jpg": None, "photos/1.JPG": b"x"}, "found 'photos/1.JPG' twice"),
    ],
)
def test_other_contents_than_the_table_has(change: dict[str, bytes | None], problem: str, tmp_path: Path) -> None:
    files = {name: content for name, content in {**FILES, **change}.items() if content is not None}
    with pytest.raises(BadData) as caught:
        unpacked(zipped(tmp_path, files), tmp_path / "target")
    assert problem in str(caught.value)
    assert not (tmp_path / "target").exists() or left(tmp_path / "target") == {}


@pytest.mark.parametrize("mode", ["zip", "w:gz", "w"])
def test_a_broken_archive(mode: str, tmp_path: Path) -> None:
    whole = (zipped(tmp_path, FILES) if mode == "zip" else tarred(tmp_path, FILES, mode)).read_bytes()
    for data in (whole[: len(whole) // 5], b"<html>" + whole, b"", whole[:2]):
        (tmp_path / "data.zip").write_bytes(data)
        with pytest.raises(BadData):
            unpacked(tmp_path / "data.zip", tmp_path / "target")


def test_a_flipped_bit_in_a_zip(tmp_path: Path) -> None:
    file = zipped(tmp_path, FILES, zipfile.ZIP_STORED)
    file.write_bytes(file.read_bytes().replace(b"two!", b"too!"))
    with pytest.raises(BadData, match="a broken archive"):
        unpacked(file, tmp_path / "target")


def test_what_killed_processes_left_goes_and_what_is_there_stays(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / ".data.zip.unpacking" / "photos").mkdir(parents=True)
    (target / ".data.zip.unpacking" / "photos" / "1.jpg").write_bytes(b"half")
    (target / "photos").mkdir()  # empty
    (target / "notes").mkdir()
    (target / "notes" / "mine.txt").write_bytes(b"mine")
    unpacked(zipped(tmp_path, FILES), target)
    assert left(target) == {**FILES, "notes/mine.txt": b"mine"}


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(zipped(tmp_path, FILES), ARCHIVE, CONTENTS, tmp_path / "target", interrupt)
    assert left(tmp_path) == {"data.zip": (tmp_path / "data.zip").read_bytes()}
