from pathlib import Path

from tests import bad_images

from showtell.core.image import load_image
from showtell.data.checks import Group, check, stats
from showtell.data.spec import read_samples
from showtell.records import Sample


def sample(name: str, split: str = "train", captions: tuple[str, ...] = ("a dog",), language: str = "en") -> Sample:
    return Sample(name, Path("/photos") / name, captions, split, language)


def test_stats_count_per_split_and_language() -> None:
    found = stats(
        [
            sample("a.jpg", captions=("a dog", "a big dog runs")),
            sample("a.jpg", captions=("كلب",), language="ar"),
            sample("b.jpg", captions=("a cat runs",)),
            sample("c.jpg", "dev", captions=("grass",)),
        ]
    )
    assert found.images == 3
    assert found.groups == (
        Group("train", "en", images=2, captions=3, different_words=5, shortest=2, mean=3.0, longest=4),
        Group("train", "ar", images=1, captions=1, different_words=1, shortest=1, mean=1.0, longest=1),
        Group("dev", "en", images=1, captions=1, different_words=1, shortest=1, mean=1.0, longest=1),
    )


def test_stats_of_nothing() -> None:
    assert stats([]).groups == ()


def test_check_names_the_images_that_do_not_open(tmp_path: Path, photos, write) -> None:
    photos("good.jpg")
    write("empty.jpg", "")
    write("text.jpg", "no photo")
    write("t.csv", "image,caption\ngood.jpg,A dog\nempty.jpg,A cat\ntext.jpg,A cow\ntext.jpg,Cows\n")
    found = check(read_samples(f"csv:{tmp_path / 't.csv'}"), load_image)
    assert found.images == 3
    assert tuple((p.name, p.reason.split(":")[0]) for p in found.unreadable) == (
        ("empty.jpg", "empty"),
        ("text.jpg", "not_an_image"),
    )
    assert not found.ok


def test_check_names_an_image_that_is_gone(tmp_path: Path) -> None:
    (problem,) = check([Sample("a.jpg", tmp_path / "a.jpg", ("a",), "train", "en")], load_image).unreadable
    assert problem.name == "a.jpg"
    assert problem.reason.startswith("missing")


def test_check_finds_the_same_photo_in_two_split_folders(tmp_path: Path, photos, write) -> None:
    for name in ("train/a", "val/a", "train/b", "val/c"):
        photos(f"{name}.jpg")
        write(f"{name}.txt", "A dog")
    found = check(read_samples(f"folder:{tmp_path}"), load_image)
    assert found.in_several_splits == ("a.jpg",)
    assert found.unreadable == found.repeated == ()
    assert not found.ok


def test_check_finds_names_repeated_within_a_split(tmp_path: Path) -> None:
    def drawn(name: str, language: str) -> Sample:
        return Sample(name, lambda: None, ("a",), "train", language)

    twice = check([drawn("a", "en"), drawn("a", "ar"), drawn("b", "en"), drawn("b", "en")], load_image)
    assert twice.repeated == ("b",)
    assert not twice.ok


def test_drawings_are_in_order() -> None:
    assert check(read_samples("shapes:10", ("en", "ar")), load_image).ok


def test_check_reads_images_to_their_end_and_finds_equal_files(tmp_path: Path, write) -> None:
    for name, make in {"a": bad_images.photo, "b": bad_images.photo, "c": lambda: bad_images.photo(50, 50)}.items():
        (tmp_path / f"{name}.jpg").write_bytes(bad_images.encode(make(), "JPEG"))
    (tmp_path / "cut.jpg").write_bytes(bad_images.truncated_jpeg())
    write("t.csv", "image,caption\n" + "".join(f"{name}.jpg,A dog\n" for name in ("a", "b", "c", "cut")))
    found = check(read_samples(f"csv:{tmp_path / 't.csv'}"), load_image)
    assert [p.name for p in found.unreadable] == ["cut.jpg"]
    assert found.identical == (("a.jpg", "b.jpg"),)
    assert not found.ok
