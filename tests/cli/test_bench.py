"""`showtell bench`: every number is there and is the number that it is called. None is compared with a duration."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests import tiny_bundle
from tests.cli.in_process import showtell

from showtell import Captioner
from showtell.cli import bench_run
from showtell.cli.bench_report import table
from showtell.cli.bench_run import Workload, measure
from showtell.core.stage_times import STAGES
from showtell.errors import BadConfig, ShowtellError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    return tiny_bundle.write(folder / "bundle", folder / "parts")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30), (200, 90, 30)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The processes that would be started."""
    seen: list[list[str]] = []

    def run(command: list[str], names: Sequence[Path] = ()) -> int:
        seen.append([*command, *map(str, names)])
        return 123_000_000

    monkeypatch.setattr(bench_run, "_run", run)
    # Others take time to compile, and are not on every machine.
    monkeypatch.setattr(bench_run, "RUNTIMES", ["onnxruntime"])
    return seen


def ticking() -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += 0.5


def test_the_figures_by_a_clock_that_ticks(bundle: Path, photo: Path, commands: list[list[str]]) -> None:
    """Half a second between two looks at the clock, whatever happens between them."""
    ticks = ticking()
    report = measure(Workload([photo] * 6, False, bundle, 4, 1), lambda: next(ticks))
    (variant,) = report["variants"][:1]
    assert variant["photos_per_second"] == 6 / 0.5
    assert variant["photo_seconds"] == variant["start_seconds"] == 0.5
    assert set(variant["stage_seconds"].values()) == {2 * 0.5 / 6}  # two batches, six photos
    assert variant["encoder_per_second"] == 6 / (2 * 0.5)
    assert variant["peak_memory"] == 123_000_000
    assert (report["photos"], report["beam_size"], report["batch_size"], report["threads"]) == (6, 1, 4, 1)


def test_start_is_of_one_photo_and_memory_of_all(bundle: Path, photo: Path, commands: list[list[str]]) -> None:
    measure(Workload([photo, photo], False, bundle, 4, 1))
    assert [command.count(str(photo)) for command in commands[:4]] == [1, 1, 1, 2]
    assert all("--model" in command and str(bundle) in command for command in commands)


def test_a_process_is_measured_and_its_failure_told(bundle: Path, photo: Path, capfd: Any) -> None:
    command = [bench_run.sys.executable, "-m", "showtell", "caption", "--model", str(bundle)]
    peak = bench_run._run([*command, "--null", "-"], [photo, photo])
    assert (peak is None) != hasattr(os, "wait4")
    assert peak is None or 10e6 < peak < 10e9
    assert capfd.readouterr().out == ""  # captions are not mixed into the table
    with pytest.raises(ShowtellError, match=r"showtell caption .* ended with 2"):
        bench_run._run([*command, "--threads", "many", "-"], [photo])


def test_the_table_and_json_say_the_same(bundle: Path, photo: Path, commands: list[list[str]]) -> None:
    arguments = ("bench", photo, "--model", bundle, "--threads", 1)
    done = showtell(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert set(report["variants"][0]["stage_seconds"]) == set(STAGES)
    assert report["photos"] == 1 and not report["made_up"]
    printed = showtell(*arguments).stdout
    assert report["machine"]["processor"] in printed and f"model {bundle}, beam size 1; 1 photos" in printed
    for line in table(report):
        label = line[:24].rstrip()
        assert label in printed  # the same rows; figures differ between two runs


def test_the_table_has_a_column_for_each_variant() -> None:
    seconds = dict.fromkeys(STAGES, 0.001) | {"search": 0.005}
    figures = {
        "photo_seconds": 0.0316,
        "photos_per_second": 41.0,
        "encoder_per_second": 82.0,
        "start_seconds": 0.5,
        "stage_seconds": seconds,
    }
    report = {
        **{"showtell": "1", "model": "built-in", "photos": 2, "made_up": True, "batch_size": 2, "beam_size": 5},
        "threads": 0,
        "left_out": {},
        "machine": {"processor": "P", "cores": 2, "system": "S", "python": "3", "versions": {"numpy": "2"}},
        "variants": [
            {"name": "onnxruntime", **figures, "peak_memory": 300_000_000},
            {"name": "openvino", **figures, "photos_per_second": 60.0, "peak_memory": None},
        ],
    }
    lines = list(table(report))
    assert [line.split() for line in lines].count(["onnxruntime", "openvino"]) == 1
    rows = {line[:24].strip(): line[24:].split() for line in lines}
    assert rows["one photo"] == ["31.6", "ms"] * 2
    assert rows["many photos"] == ["41.0", "/s", "60.0", "/s"]
    assert rows["many / encoder alone"] == ["0.50", "0.73"]
    assert rows["peak memory"] == ["300", "MB", "unknown"]
    assert rows["search"] == ["5.00", "50%"] * 2


def test_without_photos_they_are_made(bundle: Path, commands: list[list[str]]) -> None:
    done = showtell("bench", "--model", bundle, "--threads", 1, "--photos", 2, "--json")
    report = json.loads(done.stdout)
    assert report["made_up"] and report["photos"] == 2 and report["variants"][0]["photos_per_second"] > 0


def test_photos_that_cannot_be_used_are_named_and_left_out(
    bundle: Path, photo: Path, commands: list[list[str]]
) -> None:
    (photo.parent / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    done = showtell("bench", photo.parent, "--model", bundle, "--threads", 1, "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["photos"] == 1
    assert "broken.jpg: truncated" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["no-such.jpg"], "found no photo to measure with"),
        (["--model", "no-such-folder", "--photos", "1"], "no-such-folder"),
    ],
)
def test_mistakes_are_one_line_and_code_2(arguments: list[str], problem: str, tmp_path: Path) -> None:
    done = showtell("bench", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and problem in done.stderr.splitlines()[-1]


def test_a_variant_that_cannot_be_loaded_is_named_and_left_out(
    bundle: Path, photo: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Captioner.load

    def with_runtime(model: Path, threads: int, runtime: str) -> Captioner:
        if runtime == "odd":
            raise BadConfig("the odd one is not here")
        return load(model, threads)

    monkeypatch.setattr(bench_run, "RUNTIMES", ["odd", "even"])
    monkeypatch.setattr(Captioner, "load", with_runtime)
    report = measure(Workload([photo], False, bundle, 4, 1))
    assert [variant["name"] for variant in report["variants"]] == ["even"]
    assert report["left_out"] == {"odd": "the odd one is not here"}
    assert list(table(report))[-1] == "without odd: the odd one is not here"
    assert all(command[command.index("--runtime") + 1] == "even" for command in commands)
    monkeypatch.setattr(bench_run, "RUNTIMES", ["odd"])
    with pytest.raises(BadConfig, match="the odd one"):
        measure(Workload([photo], False, bundle, 4, 1))
