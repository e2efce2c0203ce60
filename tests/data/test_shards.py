import io
import json
import pickle
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from showtell.core.image import load_image
from showtell.data.containers import FileSlice
from showtell.data.omissions import Omissions
from showtell.data.shards import read_shards
from showtell.data.spec import read_samples
from showtell.errors import BadData, BadImage


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
        ("s-00/a", ("A dog .", "The dog .")),
        ("s-00/b", ("A cat .",)),
        ("s-01/c", ("A cow .", "The cow .")),
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
    with pytest.raises(BadData, match=r"found no numbers in a pair of braces"):
        read_shards(f"{shards}/s-{{01..00}}.tar", ["en"])


def test_a_tar_that_was_cut_is_not_a_shorter_one(tmp_path: Path) -> None:
    """tarfile takes all of these for the end, if they come after a whole photo with its captions."""
    file = pack(tmp_path / "s.tar", a__png=png("red"), a__txt="A dog", b__png=png("blue"), b__txt="A cat")
    whole, second = file.read_bytes(), 4 * tarfile.BLOCKSIZE
    damaged = bytearray(whole)
    damaged[second + 20] ^= 255
    for content in (whole[:second], whole[: second + 100], whole[: second + 300], bytes(damaged)):
        file.write_bytes(content)
        with pytest.raises(BadData, match=r"s.tar: found no whole tar file \(no end mark at byte 2048"):
            read_shards(str(file), ["en"])


def test_keys_may_begin_again_in_each_tar(tmp_path: Path) -> None:
    pack(tmp_path / "k0.tar", a__png=png("red"), a__txt="A dog")
    pack(tmp_path / "k1.tar", a__png=png("blue"), a__txt="A cow")
    samples = read_shards(f"{tmp_path}/k*.tar", ["en"])
    assert [(s.name, s.captions) for s in samples] == [("k0/a", ("A dog",)), ("k1/a", ("A cow",))]
    assert [load_image(s.image).getpixel((3, 3)) for s in samples] == [(255, 0, 0), (0, 0, 255)]
    (tmp_path / "more").mkdir()
    pack(tmp_path / "more" / "k0.tar", a__png=png("red"), a__txt="A dog")
    (tmp_path / "less").mkdir()
    pack(tmp_path / "less" / "k0.tar", a__png=png("red"), a__txt="A dog")
    with pytest.raises(BadData, match=r"found two photos called k0/a"):
        read_shards(f"{tmp_path}/*/k0.tar", ["en"])


def test_text_and_json_of_one_key_go_together(tmp_path: Path) -> None:
    about = json.dumps({"caption": "nothing", "split": "test", "width": 10})
    pack(tmp_path / "s.tar", a__txt="A dog\u2028runs .\r\n\nThe dog .", a__png=png("red"), a__json=about)
    [sample] = read_shards(f"{tmp_path}/s.tar", ["en"])
    assert (sample.captions, sample.split) == (("A dog runs .", "The dog ."), "test")


def test_hidden_files_are_passed_over_and_links_refused(tmp_path: Path) -> None:
    pack(tmp_path / "s.tar", **{".___a__png": b"x", ".___a__txt": b"\xff"}, a__png=png("red"), a__txt="A dog")
    assert [s.name for s in read_shards(f"{tmp_path}/s.tar", ["en"])] == ["s/a"]
    with tarfile.open(tmp_path / "s.tar", "a") as tar:
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.LNKTYPE, "a.png"
        tar.addfile(link)
    with pytest.raises(BadData, match=r"found b.png, which is a link"):
        read_shards(f"{tmp_path}/s.tar", ["en"])


def test_a_photo_travels_to_another_process_and_may_be_gone(shards: Path) -> None:
    sample = read_shards(f"{shards}/s-00.tar", ["en"])[0]
    assert pickle.loads(pickle.dumps(sample)) == sample  # noqa: S301 (our own bytes)
    whole = (shards / "s-00.tar").read_bytes()
    assert isinstance(sample.image, FileSlice)
    (shards / "s-00.tar").write_bytes(whole[: sample.image.offset + 30])
    with pytest.raises(BadImage, match=r"^truncated"):
        load_image(sample.image)
    (shards / "s-00.tar").unlink()
    with pytest.raises(BadImage, match=r"^missing: no such file: .*s-00.tar"):
        load_image(sample.image)


def test_limits_and_orientation_hold_for_packed_photos(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "JPEG", exif=turned)
    pack(tmp_path / "s.tar", a__jpg=buffer.getvalue(), a__txt="A dog")
    [sample] = read_shards(f"{tmp_path}/s.tar", ["en"])
    assert load_image(sample.image).size == (10, 20)
    for limit in ({"max_bytes": 99}, {"max_pixels": 11}):
        with pytest.raises(BadImage, match=r"^too_large"):
            load_image(sample.image, **limit)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a__txt": "A dog"}, r"found no photos"),
        ({"a__png": b"x"}, r"found no captions of a; expected a.txt or a.json"),
        ({"a__png": b"x", "a__txt": " \n"}, r"found no words in the captions of a"),
        ({"a__png": b"x", "a__json": "{"}, r"captions of a that make no sense \(JSONDecodeError"),
        ({"a__png": b"x", "a__json": '{"text": 1}'}, r"captions of a that make no sense \(KeyError: 'caption'\)"),
        ({"a__png": b"x", "a__json": '{"caption": "A", "split": "moon"}'}, r"KeyError: 'moon'"),
        ({"a__png": b"x", "a__json": '{"captions": "A dog"}'}, r"make no sense \(TypeError: captions 'A dog'\)"),
        ({"a__png": b"x", "a__json": '{"caption": "A", "language": 1}'}, r"make no sense \(TypeError: language 1\)"),
        ({"a__png": b"x", "a__json": "[1]"}, r"captions of a that make no sense \(TypeError"),
        ({"a__png": b"x", "a__json": "[" * 100_000}, r"captions of a that make no sense \(RecursionError"),
        ({"a__png": b"x", "a__jpg": b"x", "a__txt": "A"}, r"found two photos of a; expected one photo for each key"),
        ({"a__png": b"x", "a__txt": b"\xff"}, r"a\.txt, line 1: found the byte 0xff, which is not UTF-8"),
    ],
)
def test_shards_that_make_no_sense(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    pack(tmp_path / "s.tar", **members)
    with pytest.raises(BadData, match=message) as caught:
        read_shards(f"{tmp_path}/s.tar", ["en"])
    assert "\n" not in str(caught.value)


def test_a_tars_name_may_say_the_split(tmp_path: Path) -> None:
    other = json.dumps({"caption": "A cat .", "split": "train"})
    pack(tmp_path / "val-000.tar", a__txt="A dog .", a__png=png("red"), b__png=png("green"), b__json=other)
    assert [s.split for s in read_shards(f"{tmp_path}/val-000.tar", ["en"])] == ["dev", "train"]


def test_what_is_left_out_is_named_or_counted(tmp_path: Path) -> None:
    pack(
        *[tmp_path / "s.tar"],
        **{"a__png": png("red"), "a__caption": "A dog".encode("utf-16"), "b__png": png("green"), "lost__txt": "A cat"},
        **{"c__svg": "<svg/>", "c__txt": "A drawing", "notes__txt": "about", "__a__png": "hidden"},
    )
    omissions = Omissions()
    (sample,) = read_samples(f"shards:{tmp_path}/s.tar", ("en",), omissions)
    assert (sample.name, sample.captions) == ("s/a", ("A dog",))
    assert omissions.lines() == [
        "s/c.svg: unsupported: found SVG; expected a format that is read, such as JPEG or PNG; convert it",
        "s/lost: captions of no photo",
        "s/b: no caption: no text or JSON file of this stem",
    ]
    assert omissions.summary().endswith("skipped: 1 hidden file, 1 other file")


def test_two_text_files_of_one_photo_are_refused(tmp_path: Path) -> None:
    pack(tmp_path / "s.tar", a__png=png("red"), a__txt="dog, tag", a__caption="A dog")
    with pytest.raises(BadData, match=r"captions of a that make no sense \(ValueError: in \.txt and \.caption\)"):
        read_samples(f"shards:{tmp_path}/s.tar")
