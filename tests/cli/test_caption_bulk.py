"""`showtell caption --output` as a user runs it: the built-in model, messages, exit codes, a process that is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.builtin_model import BEAM
from tests.bulk.stub import tree
from tests.cli.in_process import showtell
from tests.clocks import until
from tests.manifests import write_manifest

from showtell.core.bundle import MANIFEST, builtin

EXAMPLES = Path(__file__).parents[2] / "examples"
DOG, BAND = str(EXAMPLES / "dog.jpg"), str(EXAMPLES / "band.jpg")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(path: str = "rows.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_a_finished_run_says_so_and_another_one_is_refused() -> None:
    command = ["caption", DOG, "gone.jpg", "--output", "rows.jsonl"]
    first = showtell(*command)
    assert first.stderr.splitlines()[-1] == "showtell: 1 captioned, 1 failed"
    again = showtell(*command)
    assert (again.returncode, again.stderr) == (
        1,
        "showtell: rows.jsonl was complete already: 1 captioned, 1 failed; --retry-failed tries those again; "
        "--overwrite begins anew\n",
    )
    refused = showtell(*command, "--beam", 2)
    assert refused.returncode == 2 and refused.stderr == (
        f"showtell: --output rows.jsonl: its rows are of another run: found beam_size {BEAM}, expected 2; "
        "give --overwrite to begin anew, --allow-changed to go on all the same, or another name\n"
    )
    shutil.copy(BAND, "gone.jpg")
    retried = showtell(*command, "--retry-failed", "--batch-size", 1)
    assert (retried.returncode, retried.stderr) == (0, "showtell: 2 captioned, 0 failed\n")
    assert [(row["image"], "error" in row) for row in rows()] == [(DOG, False), ("gone.jpg", False)]
    assert showtell(*command, "--overwrite", "--beam", 2).returncode == 0


def test_a_model_that_sees_photos_otherwise_is_another_one() -> None:
    model = Path(shutil.copytree(builtin(), "model"))
    assert showtell("caption", DOG, "--model", model, "--output", "rows.csv").returncode == 0
    manifest = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    manifest["pixels"]["crop_mode"] = "center"
    write_manifest(model, manifest)
    done = showtell("caption", DOG, "--model", model, "--output", "rows.csv")
    assert done.returncode == 2 and "its rows are of another run: another model;" in done.stderr


def test_a_table_and_a_tar_beside_a_photo() -> None:
    shutil.copy(DOG, "d.jpg")
    Path("table.csv").write_text("id,picture\n1,d.jpg\n2,gone.jpg\n")
    with tarfile.open("shard.tar", "w") as tar:
        tar.add(DOG, "000.jpg")
    done = showtell("caption", "table.csv", "shard.tar", "d.jpg", "--column", "picture", "--output", "rows.jsonl")
    assert done.returncode == 1 and "3 captioned, 1 failed" in done.stderr
    found = rows()
    assert [row["image"] for row in found] == ["d.jpg", "gone.jpg", "shard.tar/000.jpg", "d.jpg"]
    assert found[0] == found[3] and found[0]["caption"] == found[2]["caption"]
    assert showtell("caption", "shard.tar").stdout == f"shard.tar/000.jpg\t{found[0]['caption']}\n"


def test_sidecars_of_a_folder() -> None:
    Path("p/sub").mkdir(parents=True)
    for name in ("p/a.jpg", "p/sub/b.jpg"):
        shutil.copy(DOG, name)
    Path("p/a.txt").write_text("by hand")
    command = ["caption", "p", "--output", "sidecar"]
    refused = showtell(*command)
    assert refused.returncode == 2 and "p/a.txt with other content; give --skip-existing" in refused.stderr
    done = showtell(*command, "--skip-existing", "--prefix", "style, ")
    assert done.returncode == 0 and "1 captioned, 0 failed, 1 skipped" in done.stderr
    assert Path("p/a.txt").read_text() == "by hand" and Path("p/sub/b.txt").read_text().startswith("style, a ")
    done = showtell("caption", "p", "--output", "xmp")
    assert done.returncode == 0 and b"dc:description" in Path("p/sub/b.xmp").read_bytes()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--retry-failed"], "expected --output"),
        (["--output", "rows.csv", "--skip-existing"], "expected sidecar or xmp"),
        (["--output", "rows.csv", "--prefix", "x"], "expected --output sidecar"),
        (["--output", "xmp:"], "expected xmp or xmp:DIR"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], problem: str) -> None:
    done = showtell("caption", DOG, *options)
    assert done.returncode == 2 and problem in done.stderr and done.stderr.count("\n") == 1
    assert not list(Path().iterdir())


def test_attention_pictures_of_a_run_that_goes_on_have_names_of_their_own() -> None:
    for folder in ("a", "b", "c"):
        Path(folder).mkdir()
        shutil.copy(DOG, f"{folder}/dog.jpg")
    command = ["--attention", "pictures", "--output", "rows.jsonl"]
    assert showtell("caption", "-", *command, stdin="a/dog.jpg\nb/dog.jpg\n").returncode == 0
    assert showtell("caption", "-", *command, stdin="a/dog.jpg\nb/dog.jpg\nc/dog.jpg\n").returncode == 0
    assert [row["attention"] for row in rows()] == ["dog", "dog-2", "dog-3"]
    assert len(list(Path("pictures").glob("*.png"))) == 3


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has none")
@pytest.mark.parametrize("output", ["rows.jsonl", "rows.parquet", "sidecar:out"])
def test_a_process_that_is_killed_again_and_again(output: str) -> None:
    """With a stub model. The kill comes after another number of rows each time."""
    program = Path(__file__).parents[1] / "bulk" / "stub_process.py"
    command = [sys.executable, str(program), output, "150"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    for at in (3, 40, 41, 0, 20):
        done = subprocess.run([*command, str(at)], env=environment)
        assert done.returncode == -signal.SIGKILL
    subprocess.run(command, env=environment, check=True)
    killed = tree(Path())
    for path in Path().iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    subprocess.run(command, env=environment, check=True)
    assert tree(Path()) == killed and len(killed) > 1


def test_two_processes_at_once_and_the_lock_of_one_that_is_killed() -> None:
    command = [sys.executable, "-m", "showtell", "caption", "-", "--batch-size", "1", "--output", "rows.jsonl"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    process.stdin.write(f"{DOG}\n{DOG}\n".encode())
    process.stdin.flush()
    until(lambda: Path("rows.jsonl.partial").exists())
    second = showtell("caption", DOG, "--output", "rows.jsonl")
    assert second.returncode == 2 and "another run is writing it" in second.stderr
    process.kill()
    process.communicate()
    assert showtell("caption", "-", "--output", "rows.jsonl", stdin=f"{DOG}\n{DOG}\n").returncode == 0
    assert [row["image"] for row in rows()] == [DOG, DOG]
