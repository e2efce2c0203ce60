from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from tests import bad_images

from showtell.core.image import load_image
from showtell.data.checks import caption_problem, check_samples
from showtell.data.files import collapse_whitespace
from showtell.data.spec import read_samples
from showtell.records import FeatureRow, Sample


def sample(name: str, split: str = "train", captions: tuple[str, ...] = ("a dog",), language: str = "en") -> Sample:
    return Sample(name, Path("/photos") / name, captions, split, language)


def test_check_names_the_images_that_do_not_open(tmp_path: Path, photos, write) -> None:
    photos("good.jpg")
    write("empty.jpg", "")
    write("text.jpg", "no photo")
    write("t.csv", "image,caption\ngood.jpg,A dog\nempty.jpg,A cat\ntext.jpg,A cow\ntext.jpg,Cows\n")
    found = check_samples(read_samples(f"csv:{tmp_path / 't.csv'}"), load_image)
    assert found.images == 3
    assert tuple((p.name, p.reason.split(":")[0]) for p in found.unreadable) == (
        ("empty.jpg", "empty"),
        ("text.jpg", "not_an_image"),
    )
    assert not found.ok


def test_check_names_an_image_that_is_gone(tmp_path: Path) -> None:
    (problem,) = check_samples([Sample("a.jpg", tmp_path / "a.jpg", ("a",), "train", "en")], load_image).unreadable
    assert problem.name == "a.jpg"
    assert problem.reason.startswith("missing")


def test_check_finds_the_same_photo_in_two_split_folders(tmp_path: Path, photos, write) -> None:
    for name in ("train/a", "val/a", "train/b", "val/c"):
        photos(f"{name}.jpg")
        write(f"{name}.txt", "A dog")
    found = check_samples(read_samples(f"folder:{tmp_path}"), load_image)
    assert found.split_overlaps == ("a.jpg",)
    assert found.unreadable == found.repeated_names == ()
    assert not found.ok


def test_check_finds_names_repeated_within_a_split(tmp_path: Path) -> None:
    def drawn(name: str, language: str) -> Sample:
        return Sample(name, lambda: None, ("a",), "train", language)

    twice = check_samples([drawn("a", "en"), drawn("a", "ar"), drawn("b", "en"), drawn("b", "en")], load_image)
    assert twice.repeated_names == ("b",)
    assert not twice.ok


def test_drawings_are_in_order() -> None:
    assert check_samples(read_samples("shapes:10", ("en", "ar")), load_image).ok


def test_check_reads_images_to_their_end_and_finds_equal_files(tmp_path: Path, write) -> None:
    for name, make in {"a": bad_images.photo, "b": bad_images.photo, "c": lambda: bad_images.photo(50, 50)}.items():
        (tmp_path / f"{name}.jpg").write_bytes(bad_images.encode(make(), "JPEG"))
    (tmp_path / "cut.jpg").write_bytes(bad_images.truncated_jpeg())
    write("t.csv", "image,caption\n" + "".join(f"{name}.jpg,A dog\n" for name in ("a", "b", "c", "cut")))
    found = check_samples(read_samples(f"csv:{tmp_path / 't.csv'}"), load_image)
    assert [p.name for p in found.unreadable] == ["cut.jpg"]
    assert found.exact_duplicates == (("a.jpg", "b.jpg"),)
    assert not found.ok


def leak(tmp_path: Path, change: object) -> tuple[tuple[str, str], ...]:
    """What is found when a changed copy of a training photo is in dev, beside photos of its own."""
    random = np.random.default_rng(0)
    samples = []
    for n in range(12):
        noise = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize(
            (320, 240), Image.Resampling.BICUBIC
        )
        noise.save(tmp_path / f"{n}.jpg", quality=95)
        samples.append(Sample(f"{n}.jpg", tmp_path / f"{n}.jpg", ("a dog",), "train" if n < 8 else "dev", "en"))
    change(Image.open(tmp_path / "3.jpg"), tmp_path / "copy.jpg")
    samples.append(Sample("copy.jpg", tmp_path / "copy.jpg", ("a dog",), "dev", "en"))
    return check_samples(samples, load_image).near_duplicates


@pytest.mark.parametrize(
    "change",
    [
        lambda photo, path: photo.save(path, quality=40),
        lambda photo, path: photo.resize((160, 120)).save(path, quality=85),
        lambda photo, path: photo.resize((640, 480)).save(path, format="PNG"),
        lambda photo, path: ImageEnhance.Brightness(photo).enhance(1.02).save(path),
    ],
    ids=["encoded again", "smaller", "larger, as PNG", "brighter"],
)
def test_the_same_photo_in_two_splits_is_found_by_its_looks(tmp_path: Path, change: object) -> None:
    assert leak(tmp_path, change) == (("3.jpg", "copy.jpg"),)


@pytest.mark.parametrize(
    "change",
    [
        lambda photo, path: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path),
        lambda photo, path: photo.crop((80, 60, 320, 240)).save(path),
        lambda photo, path: ImageEnhance.Brightness(photo).enhance(0.6).save(path),
    ],
    ids=["mirrored", "cropped", "much darker"],
)
def test_photos_that_differ_are_no_leak(tmp_path: Path, change: object) -> None:
    assert leak(tmp_path, change) == ()


def test_copies_within_a_split_and_identical_files_are_no_leak(tmp_path: Path, photos) -> None:
    photos("a.jpg")
    Image.open(tmp_path / "a.jpg").save(tmp_path / "b.jpg", quality=30)
    (tmp_path / "c.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    splits = {"a.jpg": "train", "b.jpg": "train", "c.jpg": "dev"}
    samples = [Sample(name, tmp_path / name, ("a dog",), split, "en") for name, split in splits.items()]
    found = check_samples(samples, load_image)
    assert found.exact_duplicates == (("a.jpg", "c.jpg"),) and found.near_duplicates == (("b.jpg", "c.jpg"),)


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("a dog in a café", None),
        ("كلب يجري", None),
        ("naïve façade über Ærø", None),
        (" ".join(["word"] * 100), None),
        (" ".join(["word"] * 101), "a caption of 101 words"),
        ("x" * 1001, "and 1001 characters"),
        ("... !", "a caption without words"),
        ("", "a caption without words"),
        ("a caf\ufffd", "in a wrong encoding"),
        ("a cafÃ©", "in a wrong encoding"),
        (collapse_whitespace("voilÃ\xa0 un chien"), "in a wrong encoding"),
        ("uma MANHÃ de sol", None),
        ("ÙƒÙ„Ø¨", "in a wrong encoding"),
        ("a\x07dog", "a control character"),
    ],
)
def test_captions_that_are_no_sentences(caption: str, reason: str | None) -> None:
    found = caption_problem(caption, "und")
    assert (found is None) if reason is None else (found is not None and reason in found and len(found) < 140)


def test_bad_captions_are_named_with_their_photo(tmp_path: Path, photos) -> None:
    photos("a.jpg")
    samples = [Sample("a.jpg", tmp_path / "a.jpg", ("a dog", "a cafÃ©"), "train", "en")]
    found = check_samples(samples, load_image)
    assert [problem.name for problem in found.captions] == ["a.jpg"] and not found.ok


def test_features_are_no_photos_to_look_at() -> None:
    samples = [Sample("a", FeatureRow(Path("features"), 0), ("a dog",), "train", "en")]
    assert check_samples(samples, load_image).ok


def test_each_photo_is_read_once(tmp_path: Path, photos) -> None:
    photos("a.jpg", "b.jpg")
    samples = [Sample(n, tmp_path / n, ("a",), "train", lang) for n in ("a.jpg", "b.jpg") for lang in ("en", "ar")]
    read, told = [], []
    check_samples(samples, lambda source: read.append(source) or load_image(source), told.append)
    assert read == [tmp_path / "a.jpg", tmp_path / "b.jpg"] and sum(told) == 2


def test_a_file_that_cannot_be_read_while_it_is_hashed_is_named(tmp_path: Path) -> None:
    samples = [Sample("a", tmp_path / "gone", ("a",), "train", "en")]
    (problem,) = check_samples(samples, lambda source: Image.new("RGB", (9, 9))).unreadable
    assert (problem.name, problem.reason) == ("a", "unreadable: No such file or directory")
