"""`showtell caption` as a user runs it: a process, its two streams and its exit code."""

import csv
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests import bad_images
from tests.builtin_model import DOG_WORD
from tests.cli.in_process import showtell
from tests.manifests import write_manifest
from tests.tiny_bundle import write

from showtell.core.bundle import MANIFEST, builtin
from showtell.files import sha256

EXAMPLES = Path(__file__).parents[2] / "examples"
DOG = str(EXAMPLES / "dog.jpg")


def test_a_photo() -> None:
    """In a process; the other tests run the same command in this one."""
    command = [sys.executable, "-m", "showtell", "caption", DOG]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == showtell("caption", DOG).stdout
    path, caption = done.stdout.rstrip("\n").split("\t")
    assert path == DOG and DOG_WORD in caption


def test_every_bad_image_is_named_and_the_rest_is_captioned(tmp_path: Path) -> None:
    expected = bad_images.write_all(tmp_path)
    output = tmp_path / "rows.jsonl"
    done = showtell("caption", *expected, tmp_path / "gone.jpg", "--output", output)
    assert done.returncode == 1
    rows = {row["image"]: row for row in map(json.loads, output.read_text(encoding="utf-8").splitlines())}
    assert {path: row.get("error") for path, row in rows.items()} == {
        **{str(path): code for path, code in expected.items()},
        str(tmp_path / "gone.jpg"): "missing",
    }
    for path, row in rows.items():
        assert (row["caption"] is None) == ("error" in row)
        assert ("error" in row) == (f"{path}: {row.get('error')}:" in done.stderr)
    good = sum("error" not in row for row in rows.values())
    assert f"{good} captioned, {len(rows) - good} failed" in done.stderr


def test_folders_are_searched_below_and_the_same_file_twice_is_two_rows(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    shutil.copy(DOG, tmp_path / "a" / "b" / "كلب 犬.JPG")
    shutil.copy(DOG, tmp_path / "z.jpg")
    (tmp_path / "notes.txt").write_text("no photo", encoding="utf-8")
    done = showtell("caption", tmp_path, tmp_path / "z.jpg")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [Path(path).name for path, _ in lines] == ["كلب 犬.JPG", "z.jpg", "z.jpg"]
    assert len({caption for _, caption in lines}) == 1


def test_an_empty_folder_and_no_input(tmp_path: Path) -> None:
    done = showtell("caption", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"showtell: {tmp_path}: missing: no images in this folder\n"
    assert showtell("caption").returncode == 2


def test_paths_from_standard_input() -> None:
    done = showtell("caption", "-", stdin=f"{DOG}\n{DOG}\n")
    assert done.returncode == 0
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [DOG, DOG]


def test_jsonl_says_everything(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert showtell("caption", DOG, "--num", 3, "--output", output).returncode == 0
    (row,) = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    assert row["caption"] == " ".join(word for word, _ in row["words"])
    assert 0 < row["confidence"] < 1 and row["score"] < 0 and row["language"] == "en"
    assert len(row["alternatives"]) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.ledger"]  # no partial file stays


def test_different_captions() -> None:
    """Several beams begin alike where one beam does not care; the number is the same, and no caption comes twice."""

    def captions(*options: object) -> list[list[str]]:
        """Four of each photo."""
        done = showtell("caption", EXAMPLES, "--num", 4, *options)
        assert done.returncode == 0
        lines = [line.split("\t")[1] for line in done.stdout.splitlines()]
        return [lines[n : n + 4] for n in range(0, len(lines), 4)]

    variants, different = captions(), captions("--diverse")
    assert len(variants) == len(different) == 5 and all(len(set(each)) == 4 for each in variants + different)
    words = [sum(len(set(" ".join(each).split())) for each in of_photos) for of_photos in (variants, different)]
    assert words[0] < words[1]
    assert captions("--diverse", "--beam", 8) == different != captions("--diverse", "--beam", 4), (
        "the built-in model's 5 beams become 8, two in each group"
    )


def test_csv_has_a_column_per_caption_and_a_row_per_input(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    assert showtell("caption", DOG, "gone.jpg", "--num", 2, "--output", output).returncode == 1
    with output.open(encoding="utf-8", newline="") as file:
        good, bad = csv.DictReader(file)
    assert DOG_WORD in good["caption"] and good["caption_2"] not in ("", good["caption"]) and good["error"] == ""
    assert (bad["image"], bad["caption"], bad["error"]) == ("gone.jpg", "", "missing")


def test_the_old_name_of_min_confidence_is_refused_with_the_new_one() -> None:
    done = showtell("caption", DOG, "--min-score", 0.5)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "showtell: found --min-score, an option that has been renamed; expected --min-confidence\n"


def test_min_confidence_withholds_captions(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert showtell("caption", DOG, "--min-confidence", 1, "--output", output).returncode == 0
    (row,) = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    assert row["caption"] is None and row["confidence"] > 0 and "error" not in row
    assert showtell("caption", DOG, "--min-confidence", 1).stdout == f"{DOG}\t\n"


def test_min_confidence_holds_for_alternatives(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    showtell("caption", DOG, "--num", 2, "--min-confidence", 1, "--output", output)
    (row,) = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    assert [other["caption"] for other in row["alternatives"]] == [None]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no file names that are not UTF-8")
def test_a_name_that_is_not_utf8_reads_back_from_the_file(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff.jpg")
    shutil.copy(DOG, name)
    output = tmp_path / "out.jsonl"
    assert showtell("caption", name, tmp_path, "--output", output).returncode == 0
    assert [json.loads(line)["image"] for line in output.read_text(encoding="utf-8").splitlines()] == [name, name]
    printed = subprocess.run(
        [sys.executable, "-m", "showtell", "caption", name], capture_output=True, check=True
    ).stdout
    assert printed.startswith(os.fsencode(name) + b"\t")


def test_lengths_and_beams() -> None:
    done = showtell("caption", DOG, "--max-length", 4, "--beam", 2, "--batch-size", 1, "--threads", 1)
    assert done.returncode == 0
    assert len(done.stdout.split("\t")[1].split()) <= 4


def test_max_pixels(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    bad_images.photo(100, 80).save(photo)
    assert showtell("caption", photo, "--max-pixels", 8000).returncode == 0
    done = showtell("caption", photo, "--max-pixels", 7999)
    assert done.returncode == 1
    assert "too_large: found 100 x 80 pixels; expected at most 0.008 million; save it smaller, or raise" in done.stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--model", "nowhere"], "nowhere: no such model folder"),
        (["--lang", "fr"], "this model writes en, ar, de"),
        (["--beam", 0], "beam_size: found 0; "),
        (["--max-length", 1000], "at most 22 tokens"),
        (["--diverse"], "found --diverse with --num 1; expected --num 2 or more"),
        (["--output", "rows.txt"], "expected .jsonl or .csv"),
        (["--output", "no/such/folder/rows.csv"], "cannot be written"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(options: list[object], problem: str) -> None:
    done = showtell("caption", DOG, *options)
    assert done.returncode == 2 and done.stdout == ""
    assert problem in done.stderr and done.stderr.count("\n") == 1


def test_no_number_is_no_share() -> None:
    """Every comparison with it is false: let through, it would write no caption at all."""
    done = showtell("caption", DOG, "--min-confidence", "nan")
    assert done.returncode == 2 and done.stdout == "" and "--min-confidence" in done.stderr


def test_an_output_that_cannot_be_written_is_known_before_the_model_loads(tmp_path: Path) -> None:
    """With both wrong, the complaint is about the output."""
    done = showtell("caption", DOG, "--model", "nowhere", "--output", tmp_path / "none" / "rows.csv")
    assert "cannot be written" in done.stderr


def test_a_failure_leaves_the_old_output(tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    output.write_text("old", encoding="utf-8")
    assert showtell("caption", DOG, "--model", "nowhere", "--output", output).returncode == 2
    assert output.read_text(encoding="utf-8") == "old" and [p.name for p in tmp_path.iterdir()] == ["rows.csv"]


def test_a_damaged_model_is_one_line(tmp_path: Path) -> None:
    model = Path(shutil.copytree(builtin(), tmp_path / "model"))
    with (model / "encoder.onnx").open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 4]))
    done = showtell("caption", DOG, "--model", model)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "encoder.onnx" in done.stderr


def test_several_models_write_together(tmp_path: Path) -> None:
    """A model with itself says what it says; with a copy that sees less of the photo, it is less or more sure."""
    centre = Path(shutil.copytree(builtin(), tmp_path / "centre"))
    manifest = json.loads((centre / MANIFEST).read_text(encoding="utf-8"))
    manifest["pixels"]["crop_mode"] = "center"
    write_manifest(centre, manifest)

    def row(*models: Path) -> dict[str, object]:
        output = tmp_path / "out.jsonl"
        options = [option for model in models for option in ("--model", model)]
        assert showtell("caption", DOG, *options, "--output", output, "--overwrite").returncode == 0
        found: dict[str, object] = json.loads(output.read_text(encoding="utf-8"))
        del found["confidence"]  # a model may be calibrated, an ensemble is not
        return found

    twice = row(builtin(), builtin())
    assert twice == row() and twice["score"] != row(builtin(), centre)["score"] != row(centre)["score"]


def test_a_prompt_begins_every_caption(tmp_path: Path) -> None:
    model, output = write(tmp_path / "model", tmp_path / "parts"), tmp_path / "rows.jsonl"
    done = showtell("caption", DOG, "--model", model, "--prompt", "a cat of")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{DOG}\ta cat of a dog runs.\n", "")
    assert showtell("caption", DOG, "--model", model, "--prompt", "of", "--output", output).returncode == 0
    assert json.loads(output.read_text(encoding="utf-8"))["caption"] == "of a dog runs."


def test_a_prompt_for_a_model_that_takes_none_is_one_line() -> None:
    done = showtell("caption", DOG, "--prompt", "a photo of")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "showtell: found the prompt 'a photo of'; this model takes none, leave it out\n"


def test_models_of_other_words_are_one_line(tmp_path: Path) -> None:
    other = Path(shutil.copytree(builtin(), tmp_path / "other"))
    file = other / "tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"dog"', '"gnu"'), encoding="utf-8")
    manifest = json.loads((other / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][file.name] = {"sha256": sha256(file), "size": file.stat().st_size}
    write_manifest(other, manifest)
    done = showtell("caption", DOG, "--model", builtin(), "--model", other)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert f"{other} has another vocabulary than {builtin()}" in done.stderr


def test_a_counter_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "showtell", "caption", DOG, "--output", str(tmp_path / "rows.csv")]
    controller, terminal = pty.openpty()
    subprocess.run(command, stdout=terminal, stderr=terminal, env={**os.environ, "TERM": "xterm"}, check=True)
    os.close(terminal)
    assert "1 photos" in os.read(controller, 100_000).decode()
    os.close(controller)
    assert "photos" not in showtell(*command[3:]).stderr


def test_help_and_version() -> None:
    assert "PHOTO_OR_FOLDER" in showtell("caption", "--help").stdout
    assert showtell("--version").stdout.startswith("showtell 0.")
