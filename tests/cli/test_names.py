"""Names and captions that a terminal or an encoding does not take, through the whole command."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.in_process import showtell

from showtell.terminal import unquote

DOG = str(Path(__file__).parents[2] / "examples" / "dog.jpg")
NAMES = [
    *("plain.jpg", "é.jpg", "犬😀.jpg", "كلب.jpg", "back\\tslash.jpg", '"quoted".jpg', "tab\t.jpg", "line\nbreak.jpg"),
    *("\x1b[31mred.jpg", "\x9b31m.jpg", "bell\x07.jpg", "x\u2028y.jpg", "\u202egpj.exe.jpg", "iso\u2066late.jpg"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    for name in NAMES:
        shutil.copy(DOG, folder / name)
    return folder


@pytest.mark.parametrize("encoding", ["utf-8", "ascii:strict", "latin-1"])
def test_every_photo_is_one_row_whose_name_reads_back(encoding: str, folder: Path) -> None:
    """More encodings in tests/test_terminal.py."""
    command = [sys.executable, "-m", "showtell", "caption", str(folder), "--beam", "1"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    text = done.stdout.decode(encoding.partition(":")[0])
    rows = [line.split("\t") for line in text.splitlines()]
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(unquote(name) for name, _ in rows) == sorted(str(folder / name) for name in NAMES)
    assert not any(ord(c) < 32 and c not in "\t\n" for c in text)
    assert (f"{folder}/é.jpg" in text) == (not encoding.startswith("ascii"))


def test_errors_with_such_names_are_one_line_each(folder: Path) -> None:
    gone = [f"{folder / name}.gone" for name in NAMES]
    done = showtell("caption", *gone, PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == len(NAMES) + 1 and done.stderr.isascii()
    for shown in ("line\\nbreak.jpg", "\\u001b[31mred.jpg", "\\u202egpj", "\\u00e9.jpg", "\\u72ac\\ud83d\\ude00.jpg"):
        assert f"showtell: {folder}/{shown}" in done.stderr


def test_a_caption_that_the_encoding_lacks_is_escaped() -> None:
    done = showtell("caption", DOG, "--lang", "ar", PYTHONIOENCODING="ascii")
    whole = showtell("caption", DOG, "--lang", "ar")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.isascii()
    assert unquote(done.stdout.rstrip("\n").split("\t")[1]) == whole.stdout.rstrip("\n").split("\t")[1] != ""


@pytest.mark.parametrize("arguments", [["--model", "\x1b[31m\n\u202e"], ["--output", "\x1b\n.txt"]])
def test_a_mistake_with_such_a_name_is_one_line(arguments: list[str]) -> None:
    done = showtell("caption", DOG, *arguments)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr and "\u202e" not in done.stderr and "\\u001b" in done.stderr


def test_data_check_prints_such_names_as_one_line_each(tmp_path: Path) -> None:
    for name in ("a\nb.jpg", "\x1b[31m.jpg"):
        (tmp_path / name).write_bytes(b"<html>")
        (tmp_path / name).with_suffix(".txt").write_text("a dog", encoding="utf-8")
    done = showtell("data", "check", f"folder:{tmp_path}", PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and "\x1b" not in done.stdout
    assert "a\\nb.jpg: unreadable" in done.stdout and "\\u001b[31m.jpg: unreadable" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no file names that are not UTF-8")
def test_on_a_terminal_bytes_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    """On a pipe they are unchanged (test_caption.py): `xargs` needs them. 0x9B begins an escape sequence."""
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\x9b31m.jpg")
    shutil.copy(DOG, name)
    controller, terminal = pty.openpty()
    subprocess.run([sys.executable, "-m", "showtell", "caption", name], stdout=terminal, check=True)
    os.close(terminal)
    row = os.read(controller, 100_000).decode("ascii").rstrip("\r\n")
    os.close(controller)
    assert row.startswith(f'"{tmp_path}/\\udc9b31m.jpg"\t') and unquote(row.split("\t")[0]) == name
