"""`showtell calibrate` as a user runs it, and what `caption` makes of it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import skips
from tests.cli.in_process import showtell
from tests.manifests import write_manifest

from showtell import Captioner
from showtell.cli import calibrate
from showtell.core.bundle import CHECKSUM, MANIFEST, builtin
from showtell.core.bundle_updates import write_calibration
from showtell.core.confidence import Calibration
from showtell.data.spec import read_samples, select_split
from showtell.metrics.calibration import fit_logistic
from showtell.metrics.correctness import judge_correctness

DOG = Path(__file__).parents[2] / "examples" / "dog.jpg"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(builtin(), tmp_path / "model"))
    manifest = read(copy)
    manifest.pop("calibration", None)
    write_manifest(copy, {**manifest, "languages": ["en"]})
    return copy


def read(bundle: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    return result


def write_photo(folder: Path, name: str, image: Image.Image, captions: Sequence[str]) -> None:
    image.save(folder / f"{name}.png")
    (folder / f"{name}.txt").write_text("\n".join(captions), encoding="utf-8")


def test_a_bundle_is_calibrated(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 20 parts of photos: people say what the model says of the half with the better scores, and something else of
    the others."""
    pytest.importorskip("matplotlib", reason=skips.PACKAGES)
    monkeypatch.setattr(calibrate, "MIN_PHOTOS", 20)
    data, plot = tmp_path / "photos" / "dev", tmp_path / "curve.png"
    data.mkdir(parents=True)
    photos = [Image.open(path).convert("RGB") for path in sorted(DOG.parent.glob("*.jpg"))[:5]]
    boxes = [(0, 0, 240, 180), (40, 20, 280, 200), (80, 40, 320, 220), (20, 60, 260, 240)]
    parts = {f"{n:02}": photos[n // 4].crop(boxes[n % 4]) for n in range(20)}
    rows = Captioner.load(bundle).caption_many(parts.values(), batch_size=32)
    captions = {name: row.captions[0] for name, row in zip(parts, rows, strict=True)}
    better = set(sorted(captions, key=lambda name: captions[name].score)[10:])
    references = {
        name: [caption.text] * 2 if name in better else [f"nothing{name} alike", f"nothing{name} at all"]
        for name, caption in captions.items()
    }
    for name, image in parts.items():
        write_photo(data, name, image, references[name])

    before = read(bundle)
    done = showtell("calibrate", bundle, "--data", f"folder:{data.parent}", "--plot", plot)
    assert done.returncode == 0, done.stderr
    after = read(bundle)
    curve = after.pop("calibration")["en"]
    assert after.pop(CHECKSUM)
    assert after == before and plot.stat().st_size > 0

    correct = judge_correctness({name: c.text for name, c in captions.items()}, references, "en").correct
    assert 5 <= correct.sum() <= 15
    expected = fit_logistic(np.array([caption.score for caption in captions.values()]), correct)
    assert expected.slope > 1
    # Scores are float32: 2 ** -24 of sums of some ten log-probabilities, times the slope and what the fit makes of it.
    assert curve == pytest.approx(expected._asdict(), rel=1e-3)

    tables = [[line.split() for line in part.splitlines()] for part in done.stdout.split("\n\n")]
    assert tables[0][0][:3] == ["en:", "20", "photos;"]
    shares = {line[0]: line for line in tables[1]}
    assert float(shares["correct"][1]) == pytest.approx(correct.mean())
    assert [line[-1] for line in tables[2]] == ["captions"] + 10 * ["2"]
    assert np.mean([float(line[1]) for line in tables[2][1:]]) == pytest.approx(correct.mean(), abs=1e-3)
    assert [line[0] for line in tables[3]] == ["--min-confidence", "0.300", "0.500", "0.700", "0.900"]
    counts = [int(line[1]) for line in tables[3][1:]]
    assert counts == sorted(counts, reverse=True)


def test_min_score_is_the_probability(bundle: Path, tmp_path: Path) -> None:
    score = Captioner.load(bundle).caption(DOG).score
    write_calibration(bundle, {"en": Calibration(slope=1, intercept=-score)})  # exactly 0.5 for this photo
    for least, written in ((0, True), (0.5, True), (0.5000001, False), (1, False)):
        output = tmp_path / f"rows-{least}.jsonl"
        assert (
            showtell("caption", DOG, "--model", bundle, "--min-confidence", least, "--output", output).returncode == 0
        )
        (row,) = map(json.loads, output.read_text(encoding="utf-8").splitlines())
        assert (row["caption"] is not None) == written
        assert row["confidence"] == 0.5 and row["score"] == pytest.approx(score, abs=1e-4)
    for least in (-0.1, 1.1):
        assert showtell("caption", DOG, "--model", bundle, "--min-confidence", least).returncode == 2


def test_photos_that_fail_are_left_out_and_counted(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "MIN_PHOTOS", 10)
    data = tmp_path / "photos" / "dev"
    data.mkdir(parents=True)
    for sample in select_split(read_samples("shapes:9"), "dev")[:10]:
        sample.image().save(data / f"{sample.name}.png")  # type: ignore[operator,union-attr]
        (data / f"{sample.name}.txt").write_text("\n".join(sample.captions), encoding="utf-8")
    (data / "alone.png").write_bytes((data / "dev-00000.png").read_bytes())
    (data / "alone.txt").write_text("nobody to agree with", encoding="utf-8")
    (data / "broken.png").write_bytes(b"no photo")
    (data / "broken.txt").write_text("a star\na big star\n", encoding="utf-8")
    done = showtell("calibrate", bundle, "--data", f"folder:{tmp_path / 'photos'}")
    assert done.returncode == 1 and "en: 10 photos" in done.stdout and "calibration" in read(bundle)
    assert "1 photo failed and was left out" in done.stderr
    assert "1 photos have a single caption and were left out (en)" in done.stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--data", "shapes:9", "--split", "nowhere"], "no split 'nowhere'"),
        (["--data", "shapes:9", "--plot", "no/such/folder/curve.png"], "make it first"),
        (["--data", "shapes:9", "--plot", "curve.pdf"], "found .pdf; expected .png"),
        (["--data", "shapes:9", "--lang", "ar"], "this model writes en"),
        (["--data", "folder:FEW"], "found 1 photos of dev with two captions (en); expected at least 50"),
    ],
)
def test_wrong_usage_is_one_line_and_changes_nothing(
    bundle: Path, tmp_path: Path, options: list[str], problem: str
) -> None:
    (tmp_path / "few" / "dev").mkdir(parents=True)
    shutil.copy(DOG, tmp_path / "few" / "dev")
    (tmp_path / "few" / "dev" / "dog.txt").write_text("a dog\na brown dog\n", encoding="utf-8")
    before = (bundle / MANIFEST).read_bytes()
    done = showtell("calibrate", bundle, *(option.replace("FEW", str(tmp_path / "few")) for option in options))
    assert done.returncode == 2 and done.stdout == ""
    assert problem in done.stderr and done.stderr.count("\n") == 1
    assert (bundle / MANIFEST).read_bytes() == before


def test_no_such_bundle() -> None:
    done = showtell("calibrate", "nowhere", "--data", "shapes:9")
    assert done.returncode == 2 and done.stderr.startswith("showtell: nowhere: no such model folder")
