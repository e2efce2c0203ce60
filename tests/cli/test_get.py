"""`showtell data get`, as it is typed: terms, exit codes, and an interruption."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.cli.in_process import showtell
from tests.clocks import HANG_SECONDS, until
from tests.data.download.hostile_web import Served
from tests.data.download.test_get import WHOLE, ZIPS, coco, names, serving_coco

from showtell.cli.get import download
from showtell.errors import BadConfig

PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace
from showtell.cli import signals
from showtell.cli.get import download
from tests.data.download.test_get import coco
try:
    with signals.handled():
        download({"small": coco(SimpleNamespace(url=sys.argv[1]))}, "small", Path(sys.argv[2]), yes=True)
except signals.Stopped as stopped:
    sys.exit(stopped.exit_code)
"""


def test_the_spec_is_on_stdout_and_the_terms_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving_coco() as web:
        download({"small": coco(web)}, "small", tmp_path, yes=True)
        printed = capsys.readouterr()
        assert printed.out == f"coco:{tmp_path},2014\n"
        assert printed.err.startswith("Small COCO, https://example.org\nOnly for tests.\n")
        assert printed.err.endswith(f"coco:{tmp_path},2014: 6 photos, 6 captions\n")
        download({"small": coco(web)}, "small", tmp_path, yes=False)
        printed = capsys.readouterr()
        assert printed.out == f"coco:{tmp_path},2014\n" and "Only for tests" not in printed.err
        assert printed.err.startswith(f"{tmp_path}: everything is there\n")


def test_without_a_terminal_nobody_has_agreed(tmp_path: Path) -> None:
    with serving_coco() as web, pytest.raises(BadConfig, match="expected --yes"):
        download({"small": coco(web)}, "small", tmp_path / "new", yes=False)
    assert web.requests == [] and not (tmp_path / "new").exists()


def test_terms_come_before_anything_else(tmp_path: Path) -> None:
    done = showtell("data", "get", "coco2017", tmp_path / "new")
    assert done.returncode == 2 and done.stdout == "" and not (tmp_path / "new").exists()
    assert "Creative Commons Attribution 4.0 License" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("showtell: found no terminal to ask on")


def test_an_unknown_name_is_one_line(tmp_path: Path) -> None:
    done = showtell("data", "get", "coco2016", tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "did you mean 'coco201" in done.stderr


def test_flickr8k_says_where_to_ask_for_it(tmp_path: Path) -> None:
    done = showtell("data", "get", "flickr8k", tmp_path, "--yes")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    for part in ("https://forms.illinois.edu/sec/1713398", "Flickr8k_text.zip and Flickr8k_Dataset.zip in"):
        assert part in done.stderr


def test_ctrl_c_leaves_a_part_that_the_same_command_goes_on_with(tmp_path: Path) -> None:
    stalled = Served(ZIPS["train"], breaks=[1000], stall=threading.Event())
    with serving_coco(train_zip=stalled) as web:
        command = [sys.executable, "-c", PROGRAM, web.url, str(tmp_path / "coco")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        part = tmp_path / "coco" / "train.zip.part"
        until(lambda: process.poll() is not None or (part.exists() and part.stat().st_size > 0))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_SECONDS)
        stalled.stall.set()
        assert process.returncode == 130 and out == "" and "Traceback" not in err
        received = part.stat().st_size
        kept = f"showtell: {received:,} of {len(ZIPS['train']):,} bytes are in {part}; the same command goes on"
        assert err.splitlines()[-1] == kept and 0 < received <= 1000
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"coco:{tmp_path / 'coco'},2014\n")
        assert ("/train.zip", f"bytes={received}-", '"1"') in web.requests
    assert names(tmp_path / "coco") == WHOLE
