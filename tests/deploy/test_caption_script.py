"""`deploy/caption.sh` with a showtell that ends as the test says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests import skips

SCRIPT = Path(__file__).parents[2] / "deploy" / "caption.sh"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs bash")

# Ends with the next code of the file `codes`; `1+` is 1 after a run that was completed, `1-` after one that goes on.
STUB = """#!/bin/sh
echo "$@" >> arguments
code=$(head -1 codes); sed -i 1d codes
mkdir -p out.jsonl.ledger
case $code in
  1+) echo 'x {"finished": {}}' >> out.jsonl.ledger/ledger.jsonl; code=1 ;;
  1-) echo 'x {"finished": {}}' >> out.jsonl.ledger/ledger.jsonl; echo x >> out.jsonl.ledger/ledger.jsonl; code=1 ;;
esac
[ "$code" = 137 ] && kill -9 $$
exit "$code"
"""


def run(folder: Path, codes: str, *arguments: str, **environment: str) -> tuple[int, int, str]:
    """The script's exit code, how often showtell was called, and what it said."""
    (folder / "showtell").write_text(STUB)
    (folder / "showtell").chmod(0o755)
    (folder / "codes").write_text("\n".join(codes.split()) + "\n")
    known = {
        **os.environ,
        "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OUTPUT": "out.jsonl",
        "WORKERS": "80",
        "PAUSE_SECONDS": "0",
    }
    done = subprocess.run(
        ["bash", str(SCRIPT), *(arguments or ("photos",))],
        cwd=folder,
        env={**known, **environment},
        capture_output=True,
        text=True,
    )
    left = (folder / "codes").read_text().split()
    return done.returncode, len(codes.split()) - len(left), done.stderr


@pytest.mark.parametrize(
    ("codes", "code", "calls"),
    [
        ("0 9", 0, 1),
        ("1+ 9", 0, 1),  # some photos failed, and that is all
        ("137 134 0 9", 0, 3),  # killed for memory, died in native code, complete
        ("1 0 9", 0, 2),  # a traceback: there is no ledger
        ("1- 0 9", 0, 2),  # an earlier run was complete, this one has ended in the middle
        ("2 0", 2, 1),
        ("3 0", 3, 1),
        ("143 0", 143, 1),
        ("137 3 0", 3, 2),
    ],
)
def test_the_command_is_given_again_where_that_helps(tmp_path: Path, codes: str, code: int, calls: int) -> None:
    assert run(tmp_path, codes)[:2] == (code, calls)


def test_it_gives_up(tmp_path: Path) -> None:
    code, calls, said = run(tmp_path, "137 137 137 137", TRIES="3")
    assert (code, calls) == (137, 3) and "try 3 of 3" in said


def test_the_command_has_the_inputs_and_the_options(tmp_path: Path) -> None:
    assert run(tmp_path, "0", "s3://b/shards/*.tar", "s3://b/more photos/", THREADS="4")[:2] == (0, 1)
    wanted = "caption s3://b/shards/*.tar s3://b/more photos/ --output out.jsonl --engine ray --ray-address auto"
    assert (tmp_path / "arguments").read_text() == f"{wanted} --workers 80 --threads 4\n"


def test_no_inputs_are_wrong_usage(tmp_path: Path) -> None:
    done = subprocess.run(["bash", str(SCRIPT)], env={**os.environ, "OUTPUT": "x", "WORKERS": "1"}, capture_output=True)
    assert done.returncode == 2 and b"expected names" in done.stderr


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_output_is_copied_to_object_storage_when_it_is_complete(tmp_path: Path, is_folder: bool) -> None:
    pytest.importorskip("fsspec", reason=skips.PACKAGES)
    part = tmp_path / ("out.parquet/part-00000.parquet" if is_folder else "out.jsonl")
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"rows")
    place = tmp_path / "bucket" / "captions"
    place.parent.mkdir()  # not needed in object storage
    output = "out.parquet" if is_folder else "out.jsonl"
    for _ in range(2):  # the second time it is there
        code, calls, _ = run(tmp_path, "0", OUTPUT=output, UPLOAD=f"file://{place}")
        assert (code, calls) == (0, 1)
        assert (place / part.name if is_folder else place).read_bytes() == b"rows"


def test_a_copy_that_fails_is_tried_again(tmp_path: Path) -> None:
    code, calls, _ = run(tmp_path, "0 0 0", TRIES="2", UPLOAD=f"file://{tmp_path}/copy")  # there is no output
    assert (code, calls) == (4, 2)
