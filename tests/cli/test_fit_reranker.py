"""`showtell fit-reranker` as a user runs it: people's captions decide which hypothesis is written."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.in_process import showtell
from tests.cli.test_calibrate import write_photo
from tests.manifests import write_manifest

from showtell import Captioner
from showtell.core.bundle import MANIFEST, RERANKER, builtin
from showtell.core.bundle_updates import write_calibration
from showtell.core.confidence import Calibration

EXAMPLES = Path(__file__).parents[2] / "examples"
BOXES = [(0, 0, 240, 180), (40, 20, 280, 200), (80, 40, 320, 220), (20, 60, 260, 240)]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The built-in model without its reranker."""
    copy = Path(shutil.copytree(builtin(), tmp_path / "model"))
    (copy / RERANKER).unlink(missing_ok=True)
    manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
    files = {name: record for name, record in manifest["files"].items() if name != RERANKER}
    write_manifest(copy, {**manifest, "files": files, "languages": ["en"], "calibration": {}})
    return copy


@pytest.fixture
def photos() -> Iterator[dict[str, Image.Image]]:
    """Four parts of each of five photos."""
    images = [Image.open(path).convert("RGB") for path in sorted(EXAMPLES.glob("*.jpg"))[:5]]
    yield {f"{n:02}": images[n // 4].crop(BOXES[n % 4]) for n in range(20)}


def test_the_captions_of_people_decide(
    bundle: Path, photos: dict[str, Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People say of each photo what the model thinks of second."""
    rows = Captioner.load(bundle).caption_many(photos.values(), num=2)
    wanted = {name: row.captions[1].text for name, row in zip(photos, rows, strict=True)}
    (tmp_path / "photos" / "train").mkdir(parents=True)
    for name, image in photos.items():
        write_photo(tmp_path / "photos" / "train", name, image, [wanted[name]] * 2)
    write_calibration(bundle, {"en": Calibration(slope=1, intercept=0)})
    options = ["--min-photos", "1", "--landmarks", "20", "--rank", "20", "--ridge", "0.01"]
    done = showtell("fit-reranker", bundle, "--data", f"folder:{tmp_path / 'photos'}", *options)
    assert done.returncode == 0, done.stderr
    assert "MB, of 20 photos, for en" in done.stderr and "no longer calibrated; run `showtell calibrate" in done.stderr
    captioner = Captioner.load(bundle)
    assert captioner.calibrated == ()
    written = [row.captions[0] for row in captioner.caption_many(photos.values())]
    hits = sum(caption.text == wanted[name] for name, caption in zip(photos, written, strict=True))
    assert hits >= 18
    assert all(caption.expected_cider is not None for caption in written)
    # Without it, the model's own order.
    own = captioner.settings(rerank_weight=0)
    before = [row.captions[0].text for row in captioner.caption_many(photos.values(), decode=own)]
    assert sum(text == wanted[name] for name, text in zip(photos, before, strict=True)) <= 2
    # An ensemble has that of its first model.
    twice = Captioner.load([bundle, bundle])
    assert [row.captions[0].text for row in twice.caption_many(photos.values())] == [c.text for c in written]
    # The best two, in their new order.
    for name, row in zip(photos, captioner.caption_many(photos.values(), num=2), strict=True):
        assert row.captions[0].text == dict(zip(photos, written, strict=True))[name].text
        assert len({caption.text for caption in row.captions}) == 2


def test_the_builtin_model_has_one() -> None:
    captioner = Captioner.load()
    assert captioner.reranker is not None and set(captioner.reranker.languages) == set(captioner.languages)
    one = captioner.caption(EXAMPLES / "dog.jpg")
    alone = captioner.caption(EXAMPLES / "dog.jpg", decode=captioner.settings(rerank_weight=0))
    assert one.expected_cider is not None and alone.expected_cider is not None
    assert one.text != alone.text
    assert one.expected_cider > alone.expected_cider and one.confidence > alone.confidence


def test_photos_that_cannot_be_used_are_left_out(bundle: Path, photos: dict[str, Image.Image], tmp_path: Path) -> None:
    folder = tmp_path / "photos" / "train"
    folder.mkdir(parents=True)
    for name, image in list(photos.items())[:4]:
        write_photo(folder, name, image, ["a dog runs", "a brown dog"])
    (folder / "broken.png").write_bytes(b"no photo")
    (folder / "broken.txt").write_text("a dog\n", encoding="utf-8")
    done = showtell("fit-reranker", bundle, "--data", f"folder:{tmp_path / 'photos'}", "--min-photos", "1")
    assert done.returncode == 1 and "1 photos could not be used" in done.stderr
    assert Captioner.load(bundle).reranker is not None


def test_a_language_is_not_lost(tmp_path: Path) -> None:
    copy = shutil.copytree(builtin(), tmp_path / "model")
    done = showtell("fit-reranker", copy, "--data", "shapes:9", "--lang", "en")
    assert done.returncode == 2 and "would lose its reranker for ar, de" in done.stderr


def test_only_photos_that_cannot_be_used(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos" / "train"
    folder.mkdir(parents=True)
    (folder / "broken.png").write_bytes(b"no photo")
    (folder / "broken.txt").write_text("a dog\n", encoding="utf-8")
    done = showtell("fit-reranker", bundle, "--data", f"folder:{tmp_path / 'photos'}")
    assert done.returncode == 2 and "found no photo of train that can be used" in done.stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--split", "nowhere"], "no split 'nowhere'"),
        (["--min-photos", "9999"], "no n-gram is in the captions of 9999 photos; give more photos"),
        (["--lang", "ar"], "this model writes en"),
    ],
)
def test_wrong_usage_is_one_line_and_changes_nothing(bundle: Path, options: list[str], problem: str) -> None:
    before = (bundle / MANIFEST).read_bytes()
    done = showtell("fit-reranker", bundle, "--data", "shapes:9", "--split", "dev", *options)
    assert done.returncode == 2 and problem in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("showtell: ") and done.stdout == ""
    assert (bundle / MANIFEST).read_bytes() == before and not (bundle / RERANKER).exists()
