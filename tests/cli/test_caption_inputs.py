"""What `showtell caption` takes as input, as a user sees it: folders with other things in them, standard input."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.in_process import showtell

DOG = str(Path(__file__).parents[2] / "examples" / "dog.jpg")


def test_nothing_in_a_folder_is_passed_over_silently(tmp_path: Path) -> None:
    folder, output = tmp_path / "photos", tmp_path / "rows.jsonl"
    (folder / "@eaDir").mkdir(parents=True)
    for name in ("a.jpg", "photo", "c.jpg~", ".hidden.jpg", "a.attention.png", "@eaDir/a.jpg"):
        shutil.copy(DOG, folder / name)
    for name in ("raw.nef", "drawing.svg", "notes.txt", "Thumbs.db"):
        (folder / name).write_text("no photo", encoding="utf-8")
    done = showtell("caption", folder, "--output", output)
    rows = {Path(row["image"]).name: row.get("error") for row in map(json.loads, output.open(encoding="utf-8"))}
    assert done.returncode == 1
    assert rows == {
        "a.jpg": None,
        "photo": None,
        "c.jpg~": None,
        "raw.nef": "unsupported",
        "drawing.svg": "unsupported",
    }
    assert done.stderr.splitlines()[-1] == (
        "showtell: 3 captioned, 2 failed; 5 files passed over: 2 of the system, 1 attention map, 1 hidden, 1 no picture"
    )


def test_the_closing_line_comes_with_what_is_passed_over_alone(tmp_path: Path) -> None:
    shutil.copy(DOG, tmp_path)
    assert showtell("caption", tmp_path).stderr == ""
    (tmp_path / ".hidden").write_bytes(b"")
    done = showtell("caption", tmp_path)
    assert (done.returncode, done.stderr) == (0, "showtell: 1 captioned, 0 failed; 1 file passed over: 1 hidden\n")


def test_own_pictures_that_a_shell_names_are_counted(tmp_path: Path) -> None:
    shutil.copy(DOG, tmp_path / "dog.jpg")
    first = showtell("caption", "dog.jpg", "--attention", ".", "--beam", 1, cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["dog.attention.png", "dog.attention.webp", "dog.jpg"]
    again = showtell("caption", *names, "--attention", ".", "--beam", 1, cwd=tmp_path)
    assert again.stderr == "showtell: 1 captioned, 0 failed; 2 files passed over: 2 attention maps\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_that_windows_wrote(encoding: str, tmp_path: Path) -> None:
    name = tmp_path / "Größe.jpg"
    shutil.copy(DOG, name)
    done = showtell("caption", "-", stdin=f"{name}\r\n{DOG}\r\n".encode(encoding))
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [str(name), DOG]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no file names that are not UTF-8")
def test_names_that_end_in_nul(tmp_path: Path) -> None:
    names = [os.fsencode(tmp_path) + b"/new\nline.jpg", os.fsencode(tmp_path) + b"/caf\xe9.jpg"]
    for name in names:
        shutil.copy(DOG, name)
    output = tmp_path / "rows.jsonl"
    done = showtell("caption", "-", "--null", "--output", output, stdin=b"".join(name + b"\0" for name in names))
    assert done.returncode == 0
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["image"] for row in rows] == [os.fsdecode(name) for name in names]
    assert (
        showtell("caption", "-", "-0", stdin=os.fsencode(DOG)).stdout
        == showtell("caption", "-", stdin=os.fsencode(DOG)).stdout
        != ""
    )


def test_null_without_a_list() -> None:
    done = showtell("caption", DOG, "--null")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "showtell: found --null without -; expected - among the inputs, for a list on standard input\n"
    )


def test_a_picture_is_piped(tmp_path: Path) -> None:
    output = tmp_path / "rows.jsonl"
    command = [sys.executable, "-m", "showtell", "caption", "-", "--output", str(output)]
    done = subprocess.run(command, input=Path(DOG).read_bytes())
    (row,) = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    assert done.returncode == 0 and row["image"] == "-"
    assert showtell("caption", DOG).stdout == f"{DOG}\t{row['caption']}\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "-: unsupported: found SVG; expected JPEG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "-: truncated: JPEG, damaged or cut off"),
        (b"", "-: empty: found nothing on standard input; expected an image, or paths, one per line"),
        (b"a.jpg\0b.jpg\0", "-: not_an_image: the input begins with b'a.jpg\\x00b.jpg\\x00'; expected JPEG"),
    ],
)
def test_what_is_piped_and_no_list_is_one_line(content: bytes, problem: str) -> None:
    done = showtell("caption", "-", stdin=content)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"showtell: {problem}") and done.stderr.count("\n") == 1
