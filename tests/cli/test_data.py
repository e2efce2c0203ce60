"""`showtell data check` and `stats`, as they are typed."""

import json
from pathlib import Path

import pytest
from PIL import Image
from tests import skips
from typer.testing import CliRunner, Result

from showtell.cli.main import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["data", *arguments])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for n, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (20 + n, 20), colour).save(tmp_path / f"{n}.png")
    rows = ["image,caption,split", "0.png,A dog runs,train", "1.png,A big dog,train", "2.png,A dog,dev"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "t.csv"


def test_nothing_wrong(table: Path) -> None:
    done = run("check", f"csv:{table}")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "3 images checked" in done.stderr


def test_every_problem_has_a_line(table: Path) -> None:
    (table.parent / "1.png").write_bytes(b"no photo")
    table.write_text(table.read_text() + "0.png,A cafÃ©,train\n")
    done = run("check", f"csv:{table}")
    assert done.exit_code == 1
    first, second = done.stdout.splitlines()
    assert first.startswith("1.png: unreadable: not_an_image")
    assert second == "0.png: a caption in a wrong encoding: 'A cafÃ©'"


def test_all_missing_photos_are_named(table: Path) -> None:
    for n in (0, 2):
        (table.parent / f"{n}.png").unlink()
    done = run("check", f"csv:{table}")
    assert (done.exit_code, done.stdout.splitlines()) == (1, ["0.png: missing", "2.png: missing"])
    assert "2 photos missing; nothing else was looked at" in done.stderr


def test_stats_as_a_table_and_as_json(table: Path) -> None:
    lines = run("stats", f"csv:{table}").stdout.splitlines()
    assert lines[1].split() == ["train", "en", "2", "2", "4", "3", "3.0", "3"]
    assert lines[5].split() == ["en", "1", "4", "100.00", "%"]
    whole = json.loads(run("stats", f"csv:{table}", "--json").stdout)
    assert whole["images"] == 3 and whole["groups"][1]["lengths"] == [0, 0, 1]


def test_a_plot_without_a_folder_is_one_line(table: Path, tmp_path: Path) -> None:
    done = run("stats", f"csv:{table}", "--plot", str(tmp_path / "no" / "data.png"))
    assert done.exit_code != 0 and "make it first" in (done.stderr or str(done.exception))


def test_a_leak_has_a_line(table: Path) -> None:
    for name, n in (("photo.png", 64), ("copy.png", 48)):
        Image.linear_gradient("L").resize((n, n)).save(table.parent / name)
    table.write_text(table.read_text() + "photo.png,A cat,train\ncopy.png,A cat,dev\n")
    done = run("check", f"csv:{table}")
    assert (done.exit_code, done.stdout) == (1, "photo.png, copy.png: look the same, in different splits\n")


def test_stats_draw(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason=skips.PACKAGES)
    done = run("stats", f"csv:{table}", "--plot", str(tmp_path / "data.png"))
    assert done.exit_code == 0 and Image.open(tmp_path / "data.png").width > 1000


def test_what_is_left_out_has_a_line_and_a_count(tmp_path: Path) -> None:
    for n, name in enumerate(("train/a.png", "valid/b.png", "train/bare.png", "train/\x1b[31m.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (n * 80, 0, 0)).save(tmp_path / name)
    for name in ("train/a.txt", "valid/b.txt", "train/lost.txt", "notes.txt"):
        (tmp_path / name).write_text("A dog runs\n")
    (tmp_path / "train" / "c.jxl").write_bytes(b"\xff\x0a")
    done = run("check", f"folder:{tmp_path}")
    assert done.exit_code == 1
    first, *others = done.stdout.splitlines()
    assert first.startswith("train/c.jxl: unsupported: found JPEG XL; expected a format that is read")
    assert [line.partition(": ")[0] for line in others] == [r"train/\u001b[31m.png", "train/bare.png", "train/lost.txt"]
    assert done.stderr == (
        "2 images checked; left out: 1 picture of a format that is not read (train/c.jxl), 2 photos without captions "
        r"(train/\u001b[31m.png, train/bare.png), 1 file with captions of no photo (train/lost.txt); "
        "skipped: 1 other file\n"
    )


def test_what_is_skipped_on_purpose_is_no_problem(tmp_path: Path) -> None:
    for n, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (20, 20), (n * 90, 0, 0)).save(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text("A dog runs\n")
    Image.new("RGB", (20, 20)).save(tmp_path / "a.attention.png")
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / "@eaDir").mkdir()
    done = run("check", f"folder:{tmp_path}")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "2 images checked; skipped: 1 system folder, 1 attention map, 1 other file\n"
