import collections
import errno
import heapq
import io
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from showtell.core import sources
from showtell.core.image import load_image
from showtell.core.sources import ImageInput, find_images
from showtell.errors import BadConfig, BadImage
from showtell.folder_scan import ATTENTION_MAP, HIDDEN, OTHER, REPEATED, SYSTEM, PassedOver
from showtell.urls import is_url


def picture(file_format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, file_format)
    return file.getvalue()


PNG, TIFF = picture("PNG"), picture("TIFF")


def code(found: ImageInput) -> str | None:
    """Of the error that the input has, or gets when it is loaded."""
    try:
        load_image(found.path)
    except BadImage as error:
        return (found.error or error).code
    return found.error and found.error.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images and other things, two levels deep."""
    for name in (
        "b.jpg",
        "a.PNG",
        "c.txt",
        ".hidden.jpg",
        "sub/d.jpeg",
        "sub/deep/e.webp",
        ".git/f.jpg",
        "sub.jpg/g.TIF",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def found_below(folder: Path) -> list[str]:
    found = list(find_images([str(folder)]))
    assert all(each.error is None for each in found)
    return [str(Path(each.path).relative_to(folder)) for each in found]


def codes(*inputs: object) -> list[str | None]:
    return [found.error.code if found.error else None for found in find_images(map(str, inputs))]


def test_files_are_taken_as_named_in_order_and_as_often_as_named(folder: Path) -> None:
    inputs = [
        str(folder / "c.txt"),
        str(folder / "b.jpg"),
        "none.jpg",
        str(folder / ".hidden.jpg"),
        str(folder / "b.jpg"),
        "",
    ]
    assert list(find_images(inputs)) == [ImageInput(path) for path in inputs]


def test_a_url_is_taken_as_written_even_where_a_folder_is_called_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "https:" / "example.org").mkdir(parents=True)
    (folder / "https:" / "example.org" / "a.jpg").write_bytes(b"")
    monkeypatch.chdir(folder)
    urls = ["https://example.org", "HTTP://example.org/", "ftp://example.org/a.jpg", "file:///a.jpg", "x+y://"]
    assert list(find_images(urls)) == [ImageInput(url) for url in urls]
    assert list(find_images(["./https://example.org"])) == [ImageInput("./https://example.org/a.jpg")]
    assert all(map(is_url, urls)) and not any(
        map(is_url, ["C://a.jpg", "a/http://b", "http:/a", "http", "//a", "1a://b"])
    )


def test_folder_is_searched_in_order_without_hidden_files(folder: Path) -> None:
    assert found_below(folder) == ["a.PNG", "b.jpg", "sub/d.jpeg", "sub/deep/e.webp", "sub.jpg/g.TIF"]


def test_path_begins_as_the_user_wrote_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert next(find_images(["."])).path == f".{os.sep}a.PNG"
    assert next(find_images(["./sub"])).path == f"./sub{os.sep}d.jpeg"


@pytest.mark.parametrize("suffix", ["jpg", "jpe", "jfif", "png", "gif", "webp", "bmp", "tiff", "avif", "JPG", "Tiff"])
def test_image_suffixes(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"photo.{suffix}").write_bytes(b"")
    (tmp_path / suffix).write_bytes(b"")
    assert found_below(tmp_path) == [f"photo.{suffix}"]


def test_pictures_that_are_not_decoded_are_errors_and_the_rest_is_counted(tmp_path: Path) -> None:
    """Names, and for each what becomes of it: an image, the code of its error, or what it is counted as."""
    expected: dict[str, str | None] = {
        **dict.fromkeys(["a.jpg", "B.JPEG", "c", "d.JPG_large", "e.jpg~", "f.png.bak", "g 10.20.30", "h.bin"]),
        **{"i.ico": None, "zero.psd": "empty", "cut.jpg": "truncated", "text.jpg": "not_an_image"},
        **dict.fromkeys(["r.NEF", "s.svg", "t.jxl", "u.jp2", "v.psd", "w.tga", "x.xwd"], "unsupported"),
        **dict.fromkeys([".a.jpg", "._a.jpg", ".DS_Store", ".git/a.jpg"], HIDDEN),
        **dict.fromkeys(["@eaDir/a.jpg", "__MACOSX/a.jpg", "Thumbs.db", "#recycle/a.jpg"], SYSTEM),
        **dict.fromkeys(["a.attention.png", "a.attention.webp"], ATTENTION_MAP),
        **dict.fromkeys(["a.txt", "a.jpg.json", "a.mov", "a.pdf", "README", "b.dat", "c.tar.gz"], OTHER),
    }
    for name, outcome in expected.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        is_picture = outcome in (None, HIDDEN, SYSTEM, ATTENTION_MAP)
        content = PNG if is_picture else TIFF if name == "r.NEF" else b"once upon a time"
        special = {"zero.psd": b"", "cut.jpg": b"\xff\xd8\xff"}
        (tmp_path / name).write_bytes(special.get(name, content))
    passed_over = PassedOver()
    found = list(find_images([str(tmp_path)], passed_over=passed_over))
    counts = collections.Counter(expected.values())
    kinds = (HIDDEN, SYSTEM, ATTENTION_MAP, OTHER)
    assert {Path(each.path).name: code(each) for each in found} == {
        name: outcome for name, outcome in expected.items() if outcome not in kinds
    }
    assert passed_over.counts == {kind: counts[kind] for kind in kinds}
    assert str(passed_over) == "17 files passed over: 7 no pictures, 4 hidden, 4 of the system, 2 attention maps"


def test_only_names_that_say_nothing_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a.jpg", "b.txt", "c.json", "d.xmp", "e.mp4", "g.gz", "h.caption", "README", "i.jpg~", "j.svg"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    opened, open_ = [], Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *args, **options: opened.append(path.name) or open_(path, *args, **options)
    )
    list(find_images([str(tmp_path)]))
    assert opened == ["README", "i.jpg~", "j.svg"]


def test_what_cannot_be_looked_into_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "album").symlink_to(tmp_path / "gone")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "gone.txt")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "photo").write_bytes(PNG)
    open_ = Path.open

    def refuse(path: Path, *args: Any, **options: Any) -> Any:  # not by chmod: root reads everything
        if path.name == "photo":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_(path, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    passed_over = PassedOver()
    found = {Path(each.path).name: str(each.error) for each in find_images([str(tmp_path)], passed_over=passed_over)}
    assert found == {
        "album": "missing: No such file or directory",
        "circle": f"unreadable: {os.strerror(errno.ELOOP)}",
        "photo": "unreadable: Permission denied",
    }
    assert passed_over.counts == {OTHER: 2}


def test_a_folder_that_vanishes_is_missing(folder: Path) -> None:
    found = find_images([str(folder)])
    assert next(found).path.endswith("a.PNG")
    shutil.rmtree(folder / "sub.jpg")
    assert [each.error.code for each in found if each.error] == ["missing"]


def test_names_in_other_scripts(tmp_path: Path) -> None:
    names = sorted(["Größe.jpg", "صورة.png", "写真 一.gif", "🐕.webp", "-.jpg", "new\nline.jpg"])
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert found_below(tmp_path) == names


def test_name_that_is_no_unicode(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    try:
        (tmp_path / name).write_bytes(b"")
    except (OSError, UnicodeError):
        pytest.skip("this file system keeps names in Unicode")
    assert found_below(tmp_path) == [name]


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_bytes(b"")
    (found,) = find_images([str(tmp_path)])
    assert found.path == str(tmp_path)
    assert found.error is not None
    assert str(found.error) == "missing: no images in this folder"


def test_unreadable_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by chmod: root, as whom tests may run, reads everything.
    scandir = os.scandir

    def refuse_sub(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("sub"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_sub)
    assert codes(folder) == [None, None, "unreadable", None]
    (found,) = find_images([str(folder / "sub")])
    assert found.path == str(folder / "sub")
    assert str(found.error) == "unreadable: Permission denied"
    assert isinstance(found.error and found.error.__cause__, PermissionError)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads a folder whatever its mode")
def test_folder_without_permission(folder: Path) -> None:
    (folder / "sub").chmod(0)
    try:
        assert codes(folder / "sub") == ["unreadable"]
    finally:
        (folder / "sub").chmod(0o700)


def test_standard_input() -> None:
    stdin = io.BytesIO(b"one.jpg\n\n two with blanks .jpg\r\n-\nlast.jpg")
    paths = [found.path for found in find_images(["first.jpg", "-", "end.jpg"], stdin)]
    assert paths == ["first.jpg", "one.jpg", " two with blanks .jpg", "-", "last.jpg", "end.jpg"]


def test_urls_from_standard_input() -> None:
    stdin = io.BytesIO(b" https://example.org/a.jpg \t\r\nhttps://example.org/b\n a.jpg \n")
    paths = [found.path for found in find_images(["-"], stdin)]
    assert paths == ["https://example.org/a.jpg", "https://example.org/b", " a.jpg "]


def test_folder_from_standard_input(folder: Path) -> None:
    assert len(list(find_images(["-"], io.BytesIO(os.fsencode(f"{folder}\n"))))) == 5
    names = io.BytesIO(os.fsencode(f"{folder / 'sub'}\0new\nline.jpg\0"))
    assert len(list(find_images(["-"], names, null_separated=True))) == 3


def test_image_from_standard_input() -> None:
    (found,) = find_images(["-"], io.BytesIO(PNG))
    assert (found.path, found.error, found.read and found.read()) == ("-", None, PNG)


@pytest.mark.parametrize("content", [b"", b"\n\r\n\n", b"\xff\xfe"])
def test_standard_input_with_nothing_in_it_is_an_error(content: bytes) -> None:
    first, found, last = find_images(["a.jpg", "-", "b.jpg"], io.BytesIO(content))
    assert (first.path, found.path, last.path) == ("a.jpg", "-", "b.jpg")
    assert str(found.error) == "empty: found nothing on standard input; expected an image, or paths, one per line"


def test_standard_input_that_breaks_keeps_what_came() -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            if data := super().read1(size):
                return data
            raise OSError(errno.EIO, "Input/output error")

    first, second, last = find_images(["-", "z.jpg"], Broken(b"a.jpg\nb.jp"))
    assert (first.path, first.error, last.path) == ("a.jpg", None, "z.jpg")
    assert (second.path, str(second.error)) == ("-", "unreadable: Input/output error")


def test_standard_input_that_is_not_there() -> None:
    with pytest.raises(BadConfig, match="standard input"):
        list(find_images(["-"]))


def test_symbolic_links_are_followed_once(folder: Path) -> None:
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "sub" / "self").symlink_to(folder / "sub")
    (folder / "z-link").symlink_to(folder / "sub" / "deep")
    (folder / "link.jpg").symlink_to(folder / "b.jpg")
    (folder / "nowhere.jpg").symlink_to(folder / "none")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    links = ["circle.jpg", "link.jpg", "nowhere.jpg"]
    assert sorted(found_below(folder)) == sorted(
        ["a.PNG", "b.jpg", "sub/d.jpeg", "sub/deep/e.webp", "sub.jpg/g.TIF", *links]
    )
    passed_over = PassedOver()
    list(find_images([str(folder)], passed_over=passed_over))
    assert passed_over.counts == {REPEATED: 3, HIDDEN: 2, OTHER: 1}


def test_the_same_folder_twice_is_searched_twice(folder: Path) -> None:
    assert len(list(find_images([str(folder), str(folder)]))) == 10


def test_rounds_of_names_give_the_same_as_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan() -> tuple[list[ImageInput], collections.Counter[str]]:
        passed_over = PassedOver()
        return list(find_images([str(folder)], passed_over=passed_over)), passed_over.counts

    at_once = scan()
    assert at_once[1] == {HIDDEN: 2, OTHER: 1}
    for names in (1, 2, 3):
        monkeypatch.setattr(sources, "NAMES_PER_ROUND", names)
        assert scan() == at_once


class FakeFolder:
    """What `os.scandir` gives: entries made when they are asked for."""

    def __init__(self, entries: Iterator["FakeEntry"]) -> None:
        self.entries = entries

    def __enter__(self) -> Iterator["FakeEntry"]:
        return self.entries

    def __exit__(self, *_: object) -> None: ...


class FakeEntry:
    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self.path = f"{folder}/{name}"

    def is_dir(self) -> bool:
        return not self.name.endswith(".jpg")


def test_folders_nested_deeper_than_python_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: str) -> FakeFolder:
        return FakeFolder(iter([FakeEntry(path, "photo.jpg" if path.count("/d") == 1500 else "d")]))

    monkeypatch.setattr(os.path, "isdir", lambda _: True)
    monkeypatch.setattr(os, "scandir", scandir)
    assert list(find_images(["top"])) == [ImageInput("top" + "/d" * 1500 + "/photo.jpg")]


def test_large_folder_is_read_lazily_and_never_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    nsmallest = heapq.nsmallest

    def watched(count: int, names: Iterator[tuple[str, str, bool]]) -> list[tuple[str, str, bool]]:
        batch = nsmallest(count, names)
        sizes.append(len(batch))
        return batch

    def scandir(path: str) -> FakeFolder:
        return FakeFolder(FakeEntry(path, f"{number:05}.jpg") for number in reversed(range(50_000)))

    monkeypatch.setattr(os.path, "isdir", lambda _: True)
    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(heapq, "nsmallest", watched)
    monkeypatch.setattr(sources, "NAMES_PER_ROUND", 1000)
    first = [found.path for found in itertools.islice(find_images(["photos"]), 1500)]
    assert first == [f"photos/{number:05}.jpg" for number in range(1500)]
    assert sizes == [1000, 1000]
