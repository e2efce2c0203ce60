"""`showtell caption --engine ray` as a user runs it, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests import skips
from tests.cli.in_process import showtell
from tests.clocks import until

from showtell.install import install_hint

EXAMPLES = Path(__file__).parents[2] / "examples"
DOG = str(EXAMPLES / "dog.jpg")


@pytest.mark.parametrize("options", [["--ray-address", "auto"], ["--workers", 2]])
def test_options_of_ray_without_it(options: list[object]) -> None:
    done = showtell("caption", DOG, *options)
    assert done.returncode == 2 and done.stderr.endswith("without --engine ray; add it, or leave them out\n")


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason=skips.PACKAGES)
    done = showtell("caption", DOG, "--engine", "ray", RAY_ADDRESS="127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
    assert done.stderr.startswith("showtell: --ray-address 127.0.0.1:1: no cluster that this machine belongs to (")


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = showtell("caption", DOG, "--engine", "ray")
    assert done.returncode == 2
    assert done.stderr == f"showtell: this needs ray, which is not installed; {install_hint('ray')}\n"


def test_a_run_on_ray_that_is_stopped_goes_on_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, which a terminal sends to all processes: rows are kept, and no process of Ray is left."""
    pytest.importorskip("ray", reason=skips.PACKAGES)
    monkeypatch.chdir(tmp_path)
    photos = [DOG, str(EXAMPLES / "band.jpg"), *(f"gone{number}.jpg" for number in range(18))]
    arguments = ["caption", "-", "--batch-size", "1", "--output", "rows.jsonl"]
    on_ray = ["--engine", "ray", "--workers", "1", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "showtell", *arguments, *on_ray],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "RAY_ADDRESS": ""},
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write("".join(f"{photo}\n" for photo in photos).encode())
    process.stdin.flush()  # and it waits for more
    until(lambda: Path("rows.jsonl.partial").exists() or process.poll() is not None)
    started = of_session(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (130, b""), stderr
    assert b"showtell: the rows so far are in" in stderr and stderr.endswith(b"showtell: interrupted\n")
    assert len(started) > 3
    until(lambda: not of_session(process.pid))
    kept = Path("rows.jsonl.partial").read_bytes()
    done = showtell(*arguments, stdin="\n".join(photos))
    assert "photos are done already" in done.stderr and "2 captioned, 18 failed" in done.stderr
    rows = Path("rows.jsonl").read_bytes()
    assert kept and rows.startswith(kept)
    assert showtell(*arguments, "--overwrite", stdin="\n".join(photos)).returncode == 1
    assert Path("rows.jsonl").read_bytes() == rows
    assert [json.loads(line).get("error") for line in rows.splitlines()] == [None, None, *["missing"] * 18]


def of_session(leader: int) -> list[int]:
    """The living processes of a session, on Linux."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended
            continue
        if int(session) == leader and state != "Z":
            found.append(int(folder.name))
    return found
