"""What every part goes through: an examination that fails, and text without the home folder."""

import shlex
import subprocess
from pathlib import Path

import pytest

from showtell.diagnosis.findings import Findings, examine, without_home


def test_an_examination_that_fails_is_a_problem_in_one_line() -> None:
    def broken() -> Findings:
        raise ImportError("libgomp.so.1: cannot open\nshared object file")

    findings = examine("model", broken, "run: pip install .")
    (problem,) = findings.problems
    assert problem.found == "model: cannot be examined (ImportError: libgomp.so.1: cannot open shared object file)"
    assert (findings.facts, problem.mend) == ({}, "run: pip install .")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me", "~"),
        ("/home/me/.cache/showtell: cannot be written", "~/.cache/showtell: cannot be written"),
        ("in /home/me/a and /home/me/b", "in ~/a and ~/b"),
        ("/home/melanie/photos", "/home/melanie/photos"),
        ("/home/me.old/photos", "/home/me.old/photos"),
        ("/backup/home/me/photos", "/backup/home/me/photos"),
        ("showtell @ git+file:///home/me/showtell", "showtell @ git+file://~/showtell"),
        ("run: pip install '/home/me/a clone[train]'", "run: pip install ~/'a clone[train]'"),
    ],
)
def test_no_text_names_the_home_folder(text: str, expected: str) -> None:
    found = without_home({"a": [text, 3, None], "b": {"c": (text,)}}, Path("/home/me"))
    assert found == {"a": [expected, 3, None], "b": {"c": [expected]}}


def test_a_shell_still_finds_what_a_command_names(tmp_path: Path) -> None:
    command = without_home(f"printf %s {shlex.quote(f'{tmp_path}/a clone[train]')}", tmp_path)
    assert str(tmp_path) not in command
    done = subprocess.run(["sh", "-c", command], env={"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path}/a clone[train]"


def test_a_home_that_is_a_link_is_hidden_by_both_names(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    assert without_home([f"{tmp_path}/home/a", f"{tmp_path}/disk/b"], tmp_path / "home") == ["~/a", "~/b"]


def test_the_whole_file_system_is_no_home() -> None:
    assert without_home("/usr/lib", Path("/")) == "/usr/lib"
