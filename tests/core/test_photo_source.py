"""Sources that are no photo: each says what to do. Files are read from their start, and keep their position."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
import pytest
from PIL import Image

from showtell import Captioner
from showtell.core.sources import ImageInput
from showtell.errors import BadImage

DOG = Path(__file__).parents[2] / "examples" / "dog.jpg"


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.load(threads=1)


def refusal(captioner: Captioner, source: Any) -> tuple[str, str]:
    with pytest.raises(BadImage) as raised:
        captioner.preprocess(source)
    assert "\n" not in raised.value.detail
    return raised.value.code, raised.value.detail


@pytest.mark.parametrize(
    ("source", "code", "detail"),
    [
        (
            "https://example.org/a.jpg",
            "url_refused",
            "found a URL (https:), which is not fetched here; expected a file",
        ),
        ("HTTP://example.org/a.jpg", "url_refused", "found a URL (http:), which is not fetched here; expected a file"),
        (Path("https://example.org/a.jpg"), "url_refused", "found a URL (https:), which is not fetched here"),
        (ImageInput("s3://bucket/a.jpg"), "url_refused", "found a URL (s3:), which is not fetched here"),
        ("hf://buckets/a.jpg", "url_refused", "found a URL (hf:), which is not fetched here"),
        (Path("abfss://store/a.jpg"), "url_refused", "found a URL (abfss:), which is not fetched here"),
        ("C:/none.jpg", "missing", "no such file"),
        (np.frombuffer(DOG.read_bytes(), np.uint8), "unsupported", "the bytes of a file are image.tobytes()"),
        ("file:///photos/a.jpg", "url_refused", "expected the path without file://"),
        ("data:image/png;base64,iVBORw0KGgo", "url_refused", "expected its bytes: base64.b64decode"),
        ("data:image/png;base64," + "A" * 9000, "url_refused", "expected its bytes: base64.b64decode"),
        ("/9j/4AAQSkZJRg" + "A" * 9000, "missing", "found a text of 9014 letters; expected a path, or bytes"),
        (
            "~/none.jpg",
            "missing",
            "no such file; ~ is not expanded here: give the path as of os.path.expanduser",
        ),
        (Path("~/none.jpg"), "missing", "~ is not expanded here"),
        ("", "missing", "found an empty path"),
        (str(DOG.parent), "unreadable", "found a folder; expected a file: give caption_many the files in it"),
        (DOG.parent, "unreadable", "found a folder; expected a file: give caption_many the files in it"),
        ("none.jpg", "missing", "no such file"),
        ("a\0b.jpg", "missing", "no file can have this name"),
        ([DOG], "unsupported", "found list; expected one photo"),
        ((DOG,), "unsupported", "found tuple; expected one photo"),
        ({"a": DOG}, "unsupported", "found dict; expected one photo"),
        (None, "unsupported", "found NoneType; expected one photo"),
        (3, "unsupported", "found int; expected one photo"),
        ((path for path in [DOG]), "unsupported", "found generator; expected one photo"),
        (np.zeros((3, 20, 20), np.uint8), "unsupported", "channels come last: image.transpose(1, 2, 0)"),
        (np.zeros((2, 20, 20, 3), np.uint8), "unsupported", "several go to caption_many"),
        (lambda: [DOG], "unsupported", "found list"),
    ],
)
def test_what_is_no_photo_says_what_to_do(captioner: Captioner, source: Any, code: str, detail: str) -> None:
    found = refusal(captioner, source)
    assert found[0] == code and detail in found[1]


def test_in_a_row_it_says_the_same(captioner: Captioner) -> None:
    sources = ["https://example.org/a.jpg", None, [DOG], DOG]
    rows = list(captioner.caption_many(sources, decode=captioner.settings(beam_size=1)))
    assert [row.error for row in rows] == ["url_refused", "unsupported", "unsupported", None]
    assert rows[0].detail == refusal(captioner, sources[0])[1]


def test_a_file_with_the_name_of_a_url_is_a_file(
    captioner: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "http:" / "host").mkdir(parents=True)
    (tmp_path / "http:" / "host" / "a.jpg").write_bytes(DOG.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(captioner.preprocess("http://host/a.jpg"), captioner.preprocess(DOG))


# --- PIL images


def closed_image() -> Image.Image:
    image = Image.open(DOG)
    image.close()
    return image


def left_the_block() -> Image.Image:
    with Image.open(DOG) as image:
        pass
    return image


def file_closed() -> Image.Image:
    with DOG.open("rb") as file:
        return Image.open(file)


def loaded_and_closed() -> Image.Image:
    image = Image.open(DOG)
    image.load()
    image.close()
    return image


def new_and_closed() -> Image.Image:
    image = Image.new("RGB", (20, 20))
    image.close()
    return image


@pytest.mark.parametrize("make", [closed_image, left_the_block, file_closed, loaded_and_closed, new_and_closed])
def test_a_closed_image(captioner: Captioner, make: Callable[[], Image.Image]) -> None:
    code, detail = refusal(captioner, make())
    assert code == "unreadable" and detail.startswith("the image is closed; use it inside its `with` block")


def test_an_image_loaded_in_its_block_is_not_closed(captioner: Captioner) -> None:
    with Image.open(DOG) as image:
        image.load()
    decoded_whole = captioner.preprocess(np.asarray(image))
    assert np.array_equal(captioner.preprocess(image), decoded_whole)


def test_a_damaged_image_is_not_called_closed(captioner: Captioner) -> None:
    assert refusal(captioner, Image.open(io.BytesIO(DOG.read_bytes()[:20_000])))[0] == "truncated"


# --- files


class Pipe(io.RawIOBase):
    """Gives a thousand bytes at a time, and has no positions."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._rest.read(min(1000, len(buffer)))
        buffer[: len(part)] = part
        return len(part)


class OnlyRead:
    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(size)


@pytest.mark.parametrize("position", [0, 5, -1])
def test_a_file_is_read_from_its_start_and_keeps_its_position(captioner: Captioner, position: int) -> None:
    data = DOG.read_bytes()
    expected = captioner.preprocess(data)[0]
    with DOG.open("rb") as opened, SpooledTemporaryFile() as spooled:
        spooled.write(data)
        for file in (opened, spooled, io.BytesIO(data)):
            at = file.seek(position % len(data))
            for _ in range(2):
                np.testing.assert_array_equal(captioner.preprocess(file)[0], expected)
                assert file.tell() == at


@pytest.mark.parametrize("make", [Pipe, OnlyRead])
def test_a_file_without_positions_is_read_to_its_end(captioner: Captioner, make: Callable[[bytes], Any]) -> None:
    file = make(DOG.read_bytes())
    np.testing.assert_array_equal(captioner.preprocess(file)[0], captioner.preprocess(DOG)[0])
    assert refusal(captioner, file)[0] == "empty"


def test_a_file_that_occurs_twice_is_the_same_photo_twice(captioner: Captioner) -> None:
    file, image = io.BytesIO(DOG.read_bytes()), Image.open(DOG)
    settings = captioner.settings(beam_size=1, max_length=3)
    rows = captioner.caption_many([file, image] * 6 + [Pipe(DOG.read_bytes())], decode=settings)
    assert {row.captions[0].text for row in rows} == {"a german shepherd"}


class BadRead:
    def __init__(self, result: Any) -> None:
        self._result = result

    def read(self, size: int) -> Any:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def test_a_file_that_cannot_be_read(captioner: Captioner, tmp_path: Path) -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    assert refusal(captioner, closed) == ("unreadable", "the file is closed; expected an open one")
    with DOG.open("rb") as file:
        pass
    assert refusal(captioner, file) == ("unreadable", "the file is closed; expected an open one")
    text_mode = "the file is opened in text mode; expected binary mode: open(path, 'rb')"
    with DOG.open(encoding="latin-1") as text:
        assert refusal(captioner, text) == ("unreadable", text_mode)
    assert refusal(captioner, io.StringIO("photo")) == ("unreadable", text_mode)
    with DOG.open("rb") as file, Path(os.devnull).open("wb") as written:
        expected = ("unreadable", "the file is opened for writing only; expected open(path, 'rb')")
        assert refusal(captioner, written) == expected
    for error in (ConnectionResetError("gone"), KeyError("member"), LookupError(), RuntimeError("a\nb")):
        assert refusal(captioner, BadRead(error))[0] == "unreadable"
    for result in (None, "text", 3):
        code, detail = refusal(captioner, BadRead(result))
        assert code == "unreadable" and "expected a file opened in binary mode" in detail
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", DOG.read_bytes())
        assert refusal(captioner, archive)[0] == "unreadable"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("a.jpg") as member:
        captioner.preprocess(member)
