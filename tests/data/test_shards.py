import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from showtell.core.image import load_image
from showtell.data.shards import read_shards
from showtell.data.spec import read_samples
from showtell.errors import BadData


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (10, 12), colour).save(buffer, "PNG")
    return buffer.getvalue()


def pack(path: Path, **members: bytes | str) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            raw = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    caption = json.dumps({"caption": "A cat .", "split": "val"})
    pack(tmp_path / "s-00.tar", a__txt="A dog .\nThe dog .\n", a__png=png("red"), b__png=png("green"), b__json=caption)
    captions = json.dumps({"captions": ["A cow .", "The cow ."], "split": "train"})
    pack(tmp_path / "s-01.tar", c__png=png("blue"), c__json=captions, notes__txt="no photo")
    return tmp_path


@pytest.mark.parametrize("pattern", ["s-{00..01}.tar", "s-*.tar", "s-0{0..1}.tar"])
def test_photos_and_captions(shards: Path, pattern: str) -> None:
    samples = read_samples(f"shards:{shards}/{pattern}")
    assert [(s.name, s.captions) for s in samples] == [
        ("a", ("A dog .", "The dog .")),
        ("b", ("A cat .",)),
        ("c", ("A cow .", "The cow .")),
    ]
    assert [s.split for s in samples[1:]] == ["dev", "train"]
    assert [load_image(s.image).getpixel((3, 3)) for s in samples] == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]


def test_a_photo_says_where_it_is(shards: Path) -> None:
    """The cache of features knows a photo by this."""
    one, other = (read_samples(f"shards:{shards}/s-00.tar") for _ in range(2))
    assert [repr(s.image) for s in one] == [repr(s.image) for s in other]
    assert len({repr(s.image) for s in one}) == 2


def test_languages(tmp_path: Path) -> None:
    ar = json.dumps({"caption": "كلب", "language": "ar"})
    pack(tmp_path / "s.tar", a__png=png("red"), a__json=ar)
    assert read_shards(f"{tmp_path}/s.tar", ["ar"])[0].captions == ("كلب",)
    with pytest.raises(BadData, match=r"found captions in ar only; expected some in en"):
        read_shards(f"{tmp_path}/s.tar", ["en", "ar"])


def test_broken_shards_are_named(shards: Path) -> None:
    whole = (shards / "s-01.tar").read_bytes()
    (shards / "s-01.tar").write_bytes(whole[:700])
    with pytest.raises(BadData, match=r"s-01.tar: found no whole tar file"):
        read_shards(f"{shards}/s-*.tar", ["en"])
    (shards / "s-01.tar").write_bytes(b"")
    with pytest.raises(BadData, match=r"s-01.tar: found no whole tar file"):
        read_shards(f"{shards}/s-*.tar", ["en"])
    with pytest.raises(BadData, match=r"s-02.tar: found no whole tar file"):
        read_shards(f"{shards}/s-{{00..02}}.tar".replace("00..02", "02..02"), ["en"])
    with pytest.raises(BadData, match=r"found no such files"):
        read_shards(f"{shards}/t-*.tar", ["en"])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a__txt": "A dog"}, r"found no photos"),
        ({"a__png": b"x"}, r"found no captions of a; expected a.txt or a.json"),
        ({"a__png": b"x", "a__txt": " \n"}, r"found no words in the captions of a"),
        ({"a__png": b"x", "a__json": "{"}, r"captions of a that make no sense \(JSONDecodeError"),
        ({"a__png": b"x", "a__json": '{"text": 1}'}, r"captions of a that make no sense \(KeyError: 'caption'\)"),
        ({"a__png": b"x", "a__json": '{"caption": "A", "split": "moon"}'}, r"KeyError: 'moon'"),
        ({"a__png": b"x", "a__txt": b"\xff"}, r"captions of a that make no sense \(UnicodeDecodeError"),
    ],
)
def test_shards_that_make_no_sense(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    pack(tmp_path / "s.tar", **members)
    with pytest.raises(BadData, match=message) as caught:
        read_shards(f"{tmp_path}/s.tar", ["en"])
    assert "\n" not in str(caught.value)
