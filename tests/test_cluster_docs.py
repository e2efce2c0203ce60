"""The figures of docs/cluster.md are what the commands print, and its shell commands are right."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import skips

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    names = ("cluster", "cluster_projection", "cluster_simulation")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import cluster

        yield cluster
        for name in names:
            sys.modules.pop(name)


def test_the_projection_is_what_the_command_prints(cluster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.main(["project"])
    printed = capsys.readouterr().out
    assert printed.count("\n") > 30 and printed in PAGE


def test_every_assumption_is_an_option(cluster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.main(["project", "--cores", "320", "--price-per-core-hour", "1", "--rows-per-second", "1000"])
    printed = capsys.readouterr().out
    # 320 x 21.95 x 0.95 = 6,672.8 photos/s; 1e8 of them need 4.163 h, 1,332.11 core hours, and seven drivers.
    for row in ("photos per second | 6,673", "time | 4.2 hours", "cost of the cores | 1,332.11", "drivers | 7"):
        assert f"| {row} |" in printed


@pytest.mark.parametrize(
    ("table", "size"), [("order", 10), ("slowness", 10), ("shards", 5), ("losses", 10), ("drivers", 10)]
)
def test_the_simulation_is_what_the_command_prints(cluster: Any, table: str, size: int) -> None:
    """The rows of few workers; those of many take minutes."""
    rows = list(cluster.TABLES[table](sizes=(size,)))
    assert len(rows) > 2
    for row in rows:
        assert f"\n{row}\n" in PAGE


def test_the_rules_that_are_simulated_are_those_of_the_engine(cluster: Any) -> None:
    engine = pytest.importorskip("showtell.bulk.ray_engine", reason=skips.PACKAGES)
    block = pytest.importorskip("showtell.bulk.ray_block", reason=skips.PACKAGES)
    found = engine.BLOCKS_PER_WORKER, engine.WINDOW_PER_WORKER, engine.WINDOW_BYTES, block.BLOCK_BYTES
    assert found == (cluster.QUEUED, cluster.AHEAD, cluster.WINDOW_BYTES, cluster.BLOCK_BYTES)
    assert engine.Workers(1, 1).block_size == cluster.BLOCK


def commands() -> list[str]:
    blocks = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_files_that_the_commands_name_are_there() -> None:
    named = {name for line in commands() for name in re.findall(r"(?<!/)\bdeploy/[\w.-]+", line)}
    assert named == {
        f"deploy/{name}" for name in ("Dockerfile", "caption.sh", "output.yaml", "rayjob.yaml", "ray-up.yaml")
    }
    assert all((ROOT / name).is_file() for name in named)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_commands_are_whole_for_a_shell() -> None:
    for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_showtell_knows_the_options() -> None:
    pytest.importorskip("showtell.bulk.ray_engine", reason=skips.PACKAGES)
    from typer.main import get_command

    from showtell.cli.app import app

    known = {name for option in get_command(app).commands["caption"].params for name in option.opts}  # type: ignore[attr-defined]
    script = (ROOT / "deploy" / "caption.sh").read_text().replace("\\\n", " ")
    lines = [line for line in (PAGE + script).splitlines() if "showtell caption " in line]
    used = {name for line in lines for name in re.findall(r"(?<= )--[a-z-]+", line.partition("#")[0])}
    assert len(used) > 4 and used <= known
