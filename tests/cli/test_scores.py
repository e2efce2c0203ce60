"""`score`, `evaluate` and `compare` as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests import tiny_bundle
from tests.builtin_model import BEAM
from tests.cli.in_process import showtell

from showtell import Captioner
from showtell.core.bundle import MANIFEST, builtin
from showtell.files import sha256
from showtell.metrics import score

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))
REFERENCES = {
    "dog": ["a dog runs on the grass", "a brown dog plays outside"],
    "cat": ["a cat sleeps on a chair", "the cat is asleep"],
    "car": ["a red car on the street", "a car drives by"],
    "man": ["a man rides a horse", "the man sits on a horse"],
}
GOOD = {"dog": "a dog runs", "cat": "a cat sleeps on a chair", "car": "a red car", "man": "a man on a horse"}
BAD = {"dog": "a man in a", "cat": "a cat", "car": "a man in a", "man": "a man on a horse"}


def showtell_process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the command as it is installed, whatever the locale."""
    done = subprocess.run(
        [sys.executable, "-m", "showtell", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | environment,
    )
    assert "Traceback" not in done.stderr
    return done


def write(path: Path, rows: dict[str, Any], key: str) -> Path:
    lines = (json.dumps({"image": f"{name}.jpg", key: value}) + "\n" for name, value in rows.items())
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def references(tmp_path: Path) -> Path:
    return write(tmp_path / "references.jsonl", REFERENCES, "captions")


@pytest.fixture
def reports(tmp_path: Path, references: Path) -> list[Path]:
    """A bad system and a good one."""
    result = []
    for name, captions in {"bad": BAD, "good": GOOD}.items():
        file, report = write(tmp_path / f"{name}.jsonl", captions, "caption"), tmp_path / f"{name}.json"
        assert showtell("score", file, references, "--report", report).returncode == 0
        result.append(report)
    return result


def test_score_prints_a_table_and_writes_a_report(tmp_path: Path, references: Path) -> None:
    report = tmp_path / "report.json"
    done = showtell_process("score", write(tmp_path / "good.jsonl", GOOD, "caption"), references, "--report", report)
    assert done.returncode == 0
    result = json.loads(report.read_text(encoding="utf-8"))
    expected = score(GOOD, REFERENCES)
    assert {name: score["value"] for name, score in result["scores"].items()} == pytest.approx(expected, abs=1e-6)
    cider = result["scores"]["CIDEr"]
    assert cider["low"] < cider["value"] < cider["high"]
    line = next(line for line in done.stdout.splitlines() if line.startswith("CIDEr"))
    assert f"{cider['value']:.4f}"[:4] in line and " to " in line
    assert [row["image"] for row in result["rows"]] == [f"{name}.jpg" for name in REFERENCES]
    assert result["rows"][1]["caption"] == GOOD["cat"] and result["rows"][1]["references"] == REFERENCES["cat"]
    assert result["rows"][1]["scores"]["BLEU-4"] == pytest.approx(1)
    assert result["versions"]["showtell"] and result["images"] == 4


def test_score_prints_the_report_when_asked(tmp_path: Path, references: Path) -> None:
    done = showtell("score", write(tmp_path / "good.jsonl", GOOD, "caption"), references, "--report", "-")
    assert json.loads(done.stdout)["images"] == 4


def test_what_does_not_fit_is_refused_or_left_out_or_scored(tmp_path: Path, references: Path) -> None:
    some = write(tmp_path / "some.jsonl", {"dog": "a dog runs", "cat": None, "bird": "a bird"}, "caption")
    done = showtell("score", some, references)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    for part in ("--leave-out missing", "--leave-out unknown", "--leave-out empty", "bird", "cat.jpg", "--score-empty"):
        assert part in done.stderr
    done = showtell("score", some, references, "--leave-out", "missing,unknown,empty", "--report", "-")
    assert done.returncode == 0 and json.loads(done.stdout)["images"] == 1
    assert json.loads(done.stdout)["left_out"]["empty"] == ["cat.jpg"]
    assert "2 images left out (missing): car.jpg, man.jpg" in done.stderr
    done = showtell("score", some, references, "--leave-out", "unknown", "--score-empty", "--report", "-")
    assert json.loads(done.stdout)["images"] == 4
    assert json.loads(done.stdout)["scored_empty"] == ["cat.jpg", "car.jpg", "man.jpg"]


def test_coco_results_against_coco_annotations(tmp_path: Path) -> None:
    ids = {name: 100 + position for position, name in enumerate(REFERENCES)}
    annotations = [{"image_id": ids[name], "caption": c} for name, captions in REFERENCES.items() for c in captions]
    images = [{"id": number, "file_name": f"COCO_{name}.jpg"} for name, number in ids.items()]
    truth, results = tmp_path / "captions_val.json", tmp_path / "results.json"
    truth.write_text(json.dumps({"images": images, "annotations": annotations}), encoding="utf-8")
    rows = [{"image_id": ids[name], "caption": caption} for name, caption in GOOD.items()]
    results.write_text(json.dumps(rows), encoding="utf-8")
    done = showtell("score", results, truth, "--report", "-")
    result = {name: score["value"] for name, score in json.loads(done.stdout)["scores"].items()}
    assert result == pytest.approx(score(GOOD, REFERENCES), abs=1e-6)


def test_score_in_arabic_keeps_letters(tmp_path: Path) -> None:
    captions = {"a": "كلب يجري على العشب", "b": "رجل يركب حصان"}
    candidates = write(tmp_path / "c.jsonl", captions, "caption")
    truth = write(tmp_path / "r.jsonl", {n: [c] for n, c in captions.items()}, "captions")
    # Whatever the terminal's encoding.
    done = showtell_process("score", candidates, truth, "--lang", "ar", "--report", "-", PYTHONIOENCODING="latin-1")
    assert json.loads(done.stdout)["scores"]["BLEU-3"]["value"] == pytest.approx(1) and "كلب" in done.stdout
    assert "have Arabic letters, which en is not written in" in showtell("score", candidates, truth).stderr


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two real photos with captions, one broken file, and one to train on."""
    folder = tmp_path / "photos"
    for split in ("train", "dev"):
        (folder / split).mkdir(parents=True)
    for position, photo in enumerate(EXAMPLES[:2]):
        shutil.copy(photo, folder / "dev" / photo.name)
        (folder / "dev" / f"{photo.stem}.txt").write_text(f"a dog {position}\nthe dog runs\n", encoding="utf-8")
    Image.new("RGB", (40, 30)).save(folder / "train" / "x.jpg")
    (folder / "train" / "x.txt").write_text("a black square\n", encoding="utf-8")
    (folder / "dev" / "zz.jpg").write_bytes(b"no photo")
    (folder / "dev" / "zz.txt").write_text("a dog\n", encoding="utf-8")
    return folder


def test_evaluate_captions_scores_and_reports(photos: Path, tmp_path: Path) -> None:
    report, output = tmp_path / "report.json", tmp_path / "captions.jsonl"
    command = ["evaluate", "--data", f"folder:{photos}", "--num", 3, "--teacher-forced"]
    done = showtell(*command, "--report", report, "--output", output)
    assert done.returncode == 1 and "1 photo failed" in done.stderr
    result = json.loads(report.read_text(encoding="utf-8"))
    assert result["failed"] == {"dev/zz.jpg": "not_an_image"}
    assert len(result["model"]["sha256"]) == 64 and result["decode"]["beam_size"] == BEAM
    assert {"CIDEr", "novelty", "self-CIDEr", "top-5", "loss"} <= result["scores"].keys()
    assert 0 < result["scores"]["top-5"]["value"] < 1 < result["scores"]["loss"]["value"]
    captions = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["caption"] for row in captions[:2]] == [row["caption"] for row in result["rows"][:2]]
    assert len(result["rows"][0]["alternatives"]) == 2
    # A report is a file of captions, too: its own scores come out again.
    again = showtell("score", report, f"folder:{photos}", "--score-empty", "--report", "-")
    values = {name: score["value"] for name, score in json.loads(again.stdout)["scores"].items()}
    assert values == pytest.approx({name: result["scores"][name]["value"] for name in values}, abs=1e-6)


def test_evaluate_different_captions(photos: Path) -> None:
    def result(*options: object) -> dict[str, Any]:
        done = showtell("evaluate", "--data", f"folder:{photos}", "--num", 3, "--report", "-", *options)
        assert done.returncode == 1, "one photo is broken"
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    variants, different = result(), result("--diverse")
    beam = -(-BEAM // 3) * 3  # each of the three groups has as many
    assert (different["decode"]["num_beam_groups"], different["decode"]["beam_size"]) == (3, beam)
    captioner = Captioner.load()
    settings = captioner.settings(beam_size=beam, num_beam_groups=3)
    rows = captioner.caption_many([photos / row["image"] for row in different["rows"][:2]], num=3, decode=settings)
    expected = [[caption.text for caption in row.captions] for row in rows]
    assert [row["alternatives"] for row in different["rows"][:2]] == [texts[1:] for texts in expected]
    assert different["scores"]["self-CIDEr"] != variants["scores"]["self-CIDEr"]
    done = showtell("evaluate", "--data", f"folder:{photos}", "--diverse")
    assert done.returncode == 2 and done.stderr == "showtell: found --diverse with --num 1; expected --num 2 or more\n"


def test_evaluate_with_a_prompt(photos: Path, tmp_path: Path) -> None:
    (photos / "dev" / "zz.jpg").unlink()
    (photos / "dev" / "zz.txt").unlink()
    model, report = tiny_bundle.write(tmp_path / "model", tmp_path / "parts"), tmp_path / "report.json"
    command = ["evaluate", "--data", f"folder:{photos}", "--model", model, "--report", report]
    assert showtell(*command, "--prompt", "a cat of").returncode == 0
    result = json.loads(report.read_text(encoding="utf-8"))
    assert result["prompt"] == "a cat of"
    assert {row["caption"] for row in result["rows"]} == {"a dog runs."}  # what the model wrote
    assert showtell(*command).returncode == 0 and "prompt" not in json.loads(report.read_text(encoding="utf-8"))


def test_evaluate_names_every_member_of_an_ensemble(photos: Path, tmp_path: Path) -> None:
    model, command = builtin(), ["evaluate", "--data", f"folder:{photos}", "--teacher-forced", "--report"]
    reports = [tmp_path / "one.json", tmp_path / "both.json"]
    assert showtell(*command, reports[0]).returncode == 1, "one photo is broken"
    assert showtell(*command, reports[1], "--model", model, "--model", model).returncode == 1
    one, both = (json.loads(report.read_text(encoding="utf-8")) for report in reports)
    digest = sha256(model / MANIFEST)
    assert one["model"] == {"bundle": "built-in", "sha256": digest}
    assert both["model"] == {"ensemble": [{"bundle": str(model), "sha256": digest}] * 2}
    assert one["rows"] == both["rows"]
    # Twice the same model is that model, but for the rounding of the mean: 2 ** -24 of log-probabilities below 100.
    for name, expected in one["scores"].items():
        assert both["scores"][name] == pytest.approx(expected, abs=1e-5), name
    assert showtell("compare", *reports).returncode == 0


def test_compare_says_how_sure_a_difference_is(reports: list[Path]) -> None:
    done = showtell("compare", *reports, "--report", "-")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    difference = result["systems"][1]["differences"]["CIDEr"]
    assert difference["value"] == pytest.approx(
        score(GOOD, REFERENCES)["CIDEr"] - score(BAD, REFERENCES)["CIDEr"], abs=1e-5
    )
    assert difference["low"] <= difference["value"] <= difference["high"] and 0 < difference["p_value"] <= 1
    assert result["systems"][0]["differences"] is None
    assert result["rows"][3]["agreement"] == pytest.approx(1) and result["rows"][0]["agreement"] < 0.5
    table = showtell("compare", *reports).stdout
    assert "differences to bad" in table and " p " in table


def test_compare_writes_a_page_with_and_without_photos(photos: Path, tmp_path: Path) -> None:
    systems = []
    for beam in (1, 5):
        systems.append(tmp_path / f"beam{beam}.json")
        showtell("evaluate", "--data", f"folder:{photos}", "--beam", beam, "--report", systems[-1])
    page = tmp_path / "page.html"
    done = showtell("compare", *systems, "--html", page)
    assert done.returncode == 0 and "1 photos are not in" in done.stderr
    assert page.read_text(encoding="utf-8").count(">UklGR") == 2  # "RIFF", as WebP begins
    shutil.rmtree(photos)
    done = showtell("compare", *systems, "--html", tmp_path / "other.html")
    assert done.returncode == 2 and "--data" in done.stderr


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"language": "ar"}, "found captions in ar; expected en, as in"),
        ({"references_sha256": "0"}, "found references that are not those which were scored"),
        ({"format": 1}, "found a report of format 1; expected format 2; evaluate again"),
        ({"rows": None}, "found no rows"),
        ({"rows": [{"image": "dog.jpg"}]}, "found in row 0 not an image with caption, references and scores"),
    ],
)
def test_reports_that_cannot_be_compared(reports: list[Path], change: dict[str, Any], problem: str) -> None:
    other = json.loads(reports[1].read_text(encoding="utf-8")) | change
    reports[1].write_text(json.dumps(other), encoding="utf-8")
    done = showtell("compare", *reports)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert problem in done.stderr


def test_systems_of_other_images_or_references_are_not_compared(tmp_path: Path, reports: list[Path]) -> None:
    for references, problem in (
        ({"dog": REFERENCES["dog"], "cow": ["a cow"]}, "found 4 images that only one of the reports has (car.jpg,"),
        ({**REFERENCES, "dog": ["a dog"]}, "found other references for the same images"),
    ):
        file = write(tmp_path / "other.jsonl", {name: "a dog" for name in references}, "caption")
        truth, report = write(tmp_path / "truth.jsonl", references, "captions"), tmp_path / "other.json"
        assert showtell("score", file, truth, "--report", report).returncode == 0
        done = showtell("compare", reports[0], report)
        assert done.returncode == 2 and problem in done.stderr and done.stderr.count("\n") == 1


def test_one_image_is_compared_without_intervals(tmp_path: Path) -> None:
    truth, systems = write(tmp_path / "r.jsonl", {"a": ["a dog runs"]}, "captions"), []
    for name, caption in (("one", "a dog"), ("two", "a dog runs")):
        systems.append(tmp_path / f"{name}.json")
        showtell("score", write(tmp_path / "c.jsonl", {"a": caption}, "caption"), truth, "--report", systems[-1])
    done = showtell("compare", *systems, "--html", tmp_path / "page.html", "--report", tmp_path / "both.json")
    assert done.returncode == 0 and "of unknown error" in done.stdout
    result = json.loads((tmp_path / "both.json").read_text(encoding="utf-8"))
    assert result["systems"][1]["differences"]["BLEU-1"]["p_value"] is None
    done = showtell("score", tmp_path / "both.json", truth)
    assert done.returncode == 2 and "found a comparison of several systems" in done.stderr


def test_the_same_report_twice_is_told_apart(reports: list[Path]) -> None:
    done = showtell("compare", reports[0], reports[0])
    assert f"1: {reports[0]}" in done.stdout and f"2: {reports[0]}" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_what_utf8_lacks_is_escaped(photos: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (photos / "dev" / "zz.jpg").unlink()
    (photos / "dev" / "zz.txt").unlink()
    shutil.copy(EXAMPLES[0], photos / "dev" / name)
    (photos / "dev" / name.replace(".jpg", ".txt")).write_text("a dog", encoding="utf-8")
    report = tmp_path / "report.json"
    done = showtell("evaluate", "--data", f"folder:{photos}", "--report", report)
    assert done.returncode == 0
    images = [row["image"] for row in json.loads(report.read_text(encoding="utf-8"))["rows"]]
    assert f"dev/{name}" in images
    assert showtell("compare", report, report, "--html", tmp_path / "page.html").returncode == 0


def test_missing_java_is_known_before_the_work(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "captions.jsonl"
    monkeypatch.setenv("PATH", str(tmp_path))
    done = showtell("evaluate", "--data", f"folder:{photos}", "--java", "METEOR", "--output", output)
    assert done.returncode == 2 and "METEOR needs Java" in done.stderr and not output.exists()


def test_compare_goes_on_without_java(reports: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in reports:
        report = json.loads(path.read_text(encoding="utf-8"))
        report["scores"]["METEOR"] = {"value": 0.2, "low": 0.1, "high": 0.3}
        path.write_text(json.dumps(report), encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = showtell("compare", *reports)
    assert done.returncode == 0 and "METEOR is not compared" in done.stderr and "CIDEr" in done.stdout


def test_more_captions_than_beams_are_refused(photos: Path) -> None:
    done = showtell("evaluate", "--data", f"folder:{photos}", "--beam", 1, "--num", 3)
    assert done.returncode == 2 and "found num 3 with beam size 1" in done.stderr


def test_nothing_is_written_over_what_is_read(reports: list[Path], tmp_path: Path, references: Path) -> None:
    before = [path.read_bytes() for path in reports]
    for arguments, problem in (
        (["compare", *reports, "--report", reports[0]], "is read by this very command"),
        (["compare", *reports, "--html", reports[1]], "is read by this very command"),
        (["score", tmp_path / "good.jsonl", references, "--report", tmp_path / "good.jsonl"], "is read by this very"),
        (["compare", *reports, "--html", tmp_path / "x", "--report", tmp_path / "x"], "is what --html writes"),
        (["compare", *reports, "--html", tmp_path], "is a folder"),
        (["compare", *reports, "--html", "/proc/x.html"], "cannot be written"),
    ):
        done = showtell(*arguments)
        assert done.returncode == 2 and problem in done.stderr and done.stderr.count("\n") == 1
    assert [path.read_bytes() for path in reports] == before


def test_mistakes_are_known_before_the_work(reports: list[Path], tmp_path: Path) -> None:
    for arguments, problem in (
        (["compare", reports[0]], "found 1 report; expected two or more"),
        (["compare", *reports, "--html", tmp_path / "no" / "page.html"], "no folder"),
        (["evaluate", "--data", "shapes:9", "--report", tmp_path / "no" / "r.json"], "no folder"),
        (["compare", reports[0], tmp_path / "good.jsonl"], "no readable JSON"),
        (["compare", *reports, "--data", "flicker8k", "--html", tmp_path / "page.html"], "found no data spec"),
        (["score", reports[0], tmp_path / "references.jsonl", "--leave-out", "mising"], "did you mean 'missing'?"),
    ):
        done = showtell(*arguments)
        assert done.returncode == 2 and problem in done.stderr and done.stderr.count("\n") == 1
