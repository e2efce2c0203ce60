import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import skips
from tests.counting import assert_linear

from showtell.data.flickr import read_flickr
from showtell.data.rows import split_from_hash
from showtell.errors import BadData

FLICKR8K = Path(__file__).parents[3] / "shared" / "flickr8k"


@pytest.fixture
def plain(tmp_path: Path, photos, write) -> Path:
    """Three photos of which two are listed, in two languages."""
    photos("images/a.jpg", "images/b.jpg", "images/spare.jpg")
    write("captions.en.txt", "a.jpg#0\tA dog .\nb.jpg#0\tA cat .\na.jpg#1\tThe #1  dog .\nspare.jpg#0\tA cow .\n")
    write("captions.ar.txt", "b.jpg#0\tقطة\na.jpg#0\tكلب\n")
    write("trainImages.txt", "b.jpg\n")
    write("devImages.txt", "\ufeffa.jpg\r\n\r\n")
    return tmp_path


@pytest.fixture
def distributed(tmp_path: Path, photos, write) -> Path:
    """The archive as it is, with its captions of a photo that it lacks."""
    photos("Flicker8k_Dataset/a.jpg", "Flicker8k_Dataset/b.jpg", "Flicker8k_Dataset/c.jpg")
    captions = "".join(
        f"{name}#{i}\tA {name} {i} .\n" for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg.1") for i in (0, 1)
    )
    write("Flickr8k.token.txt", captions)
    for split, name in (("train", "a"), ("dev", "b"), ("test", "c")):
        write(f"Flickr_8k.{split}Images.txt", f"{name}.jpg\n")
    return tmp_path


def test_samples_come_in_the_order_of_the_lists_for_each_language(plain: Path) -> None:
    samples = read_flickr(str(plain), ("en", "ar"))
    assert [(s.name, s.split, s.language, s.captions) for s in samples] == [
        ("b.jpg", "train", "en", ("A cat .",)),
        ("b.jpg", "train", "ar", ("قطة",)),
        ("a.jpg", "dev", "en", ("A dog .", "The #1 dog .")),
        ("a.jpg", "dev", "ar", ("كلب",)),
    ]
    assert samples[0].image == plain / "images" / "b.jpg"


def test_flickr8k_as_distributed(distributed: Path) -> None:
    samples = read_flickr(str(distributed), ("en",))
    assert [(s.name, s.split) for s in samples] == [("a.jpg", "train"), ("b.jpg", "dev"), ("c.jpg", "test")]
    assert samples[2].captions == ("A c.jpg 0 .", "A c.jpg 1 .")
    assert samples[2].image == distributed / "Flicker8k_Dataset" / "c.jpg"


def test_the_archive_has_no_arabic(distributed: Path) -> None:
    with pytest.raises(BadData, match=r"found no captions\.ar\.txt"):
        read_flickr(str(distributed), ("ar",))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a.jpg#2 no tab", "'a.jpg#2 no tab'; expected NAME#0, a TAB"),
        ("a.jpg\tno number", r"'a.jpg\\tno number'; expected NAME#0, a TAB"),
        ("a.jpg#x\tno number", r"'a.jpg#x\\tno number'; expected NAME#0, a TAB"),
        ("#0\tno name", r"'#0\\tno name'; expected NAME#0, a TAB"),
        ("a.jpg#2\t  ", "an empty caption for 'a.jpg#2'"),
        ("a.jpg#1\tonce more", "'a.jpg#1' again"),
    ],
)
def test_a_broken_caption_line_is_named(plain: Path, line: str, found: str) -> None:
    with (plain / "captions.en.txt").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(BadData, match=rf"captions\.en\.txt, line 5: found {found}"):
        read_flickr(str(plain), ("en",))


def test_a_caption_file_in_another_encoding_is_named(plain: Path) -> None:
    (plain / "captions.ar.txt").write_bytes("b.jpg#0\tقطة\na.jpg#0\tكلب\n".encode("cp1256"))
    with pytest.raises(BadData, match=r"captions\.ar\.txt, line 1: .* not UTF-8"):
        read_flickr(str(plain), ("ar",))


def test_a_listed_image_without_captions_is_named(plain: Path) -> None:
    (plain / "trainImages.txt").write_text("b.jpg\nc.jpg\n")
    with pytest.raises(BadData, match=r"trainImages\.txt, line 2: found 'c.jpg', which has no caption in captions\.en"):
        read_flickr(str(plain), ("en",))


def test_a_listed_image_without_a_file_is_named(plain: Path) -> None:
    (plain / "images" / "b.jpg").unlink()
    with pytest.raises(BadData, match=r"captions\.en\.txt, line 2: found captions of 'b.jpg', but no file"):
        read_flickr(str(plain), ("en",))


def test_an_image_in_two_lists_is_named(plain: Path) -> None:
    (plain / "devImages.txt").write_text("a.jpg\nb.jpg\n")
    with pytest.raises(BadData, match=r"devImages\.txt, line 2: found 'b.jpg' again; .* trainImages\.txt, line 1"):
        read_flickr(str(plain), ("en",))


@pytest.mark.parametrize(
    ("missing", "found"), [("images", "no images or"), ("captions.en.txt", r"no captions\.en\.txt")]
)
def test_what_is_missing_is_named(plain: Path, missing: str, found: str) -> None:
    path = plain / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BadData, match=f"found {found}"):
        read_flickr(str(plain), ("en",))


def test_no_list_at_all_is_refused_and_one_is_enough(plain: Path) -> None:
    (plain / "trainImages.txt").unlink()
    assert [s.name for s in read_flickr(str(plain), ("en",))] == ["a.jpg"]
    (plain / "devImages.txt").write_text("\n")
    with pytest.raises(BadData, match="found no image in any split list"):
        read_flickr(str(plain), ("en",))


@pytest.mark.skipif(not FLICKR8K.is_dir(), reason=skips.FLICKR8K)
def test_the_real_flickr8k_is_read_whole() -> None:
    samples = read_flickr(str(FLICKR8K), ("en", "ar"))
    counts = Counter((sample.split, sample.language) for sample in samples)
    assert counts == {("train", "en"): 6000, ("dev", "en"): 1000, ("train", "ar"): 6000, ("dev", "ar"): 1000}
    assert {len(sample.captions) for sample in samples} == {5}
    assert samples[0].captions[1] == "A girl going into a wooden building ."
    spare = set((FLICKR8K / "spareImages.txt").read_text().split())
    assert len(spare) == 91
    assert not spare & {sample.name for sample in samples}


def test_work_is_linear(tmp_path: Path) -> None:
    def read(photos: int) -> Callable[[], object]:
        root = tmp_path / str(photos)
        (root / "images").mkdir(parents=True)
        names = [f"{n}.jpg" for n in range(photos)]
        for name in names:
            (root / "images" / name).touch()
        (root / "trainImages.txt").write_text("\n".join(names))
        (root / "captions.en.txt").write_text("".join(f"{name}#{k}\tA dog .\n" for name in names for k in range(5)))
        return lambda: read_flickr(str(root), ("en",))

    assert_linear(read)


def test_flickr30k_has_no_lists(write, photos) -> None:
    names = [f"{n}.jpg" for n in range(40)]
    photos(*(f"flickr30k-images/{name}" for name in names))
    file = write("results_20130124.token", "".join(f"{name}#{k}\tA dog {k} .\n" for name in names for k in range(2)))
    samples = read_flickr(str(file.parent), ("en",))
    assert [(s.name, s.captions, s.split) for s in samples] == [
        (name, ("A dog 0 .", "A dog 1 ."), split_from_hash(name)) for name in names
    ]
    assert {s.split for s in samples} == {"train", "dev"}


def test_a_photo_may_have_captions_in_some_of_the_languages_only(plain: Path, write) -> None:
    write("captions.de.txt", "a.jpg#0\tEin Hund.\n")
    assert [(s.name, s.language) for s in read_flickr(str(plain), ("en", "de"))] == [
        ("b.jpg", "en"),
        ("a.jpg", "en"),
        ("a.jpg", "de"),
    ]
    assert [s.name for s in read_flickr(str(plain), ("de",))] == ["a.jpg"]


def test_a_listed_photo_without_captions_in_any_language_is_a_mistake(plain: Path, write, photos) -> None:
    write("captions.de.txt", "a.jpg#0\tEin Hund.\n")
    photos("images/none.jpg")
    write("devImages.txt", "a.jpg\nnone.jpg\n")
    for languages in (("en", "de"), ("de",)):
        with pytest.raises(BadData, match=r"devImages\.txt, line 2: found 'none\.jpg', which has no caption in"):
            read_flickr(str(plain), languages)


def test_captions_beside_those_of_the_archive(distributed: Path, write) -> None:
    """The published English file has another name."""
    write("captions.pt_br.txt", "b.jpg#0\tUm cachorro.\n")
    assert [(s.name, s.language) for s in read_flickr(str(distributed), ("pt-BR",))] == [("b.jpg", "pt-BR")]
    assert len(read_flickr(str(distributed), ("en", "pt-BR"))) == 4
