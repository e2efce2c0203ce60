from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from showtell.core.runtimes.fastest import FILE, Choice, fastest
from showtell.core.runtimes.registry import RUNTIMES, Runtime
from showtell.errors import BadBundle


class Clock:
    """Goes on only while a graph runs."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Graph:
    """Takes so many seconds for a run, the first time ten times as many."""

    inputs: Mapping[str, Any] = {"pixels": ("B", 3, 8, 8)}
    outputs: Mapping[str, Any] = {"memory": ("B", 1)}

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds, self.runs = clock, seconds, 0

    def tensor(self, array: np.ndarray) -> Any:
        return array

    def run(self, feed: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        assert feed["pixels"].shape == (4, 3, 8, 8) and list(names) == ["memory"]
        self.clock.now += self.seconds * (1 if self.runs else 10)
        self.runs += 1
        return {}


def runtime(name: str, clock: Clock, seconds: float, loaded: list[str], is_here: bool = True) -> Runtime:
    def load(path: Path, threads: int) -> Any:
        loaded.append(name)
        return Graph(clock, seconds)

    return Runtime(name, load, load, lambda: is_here)


def test_the_fastest_is_chosen_once(tmp_path: Path) -> None:
    clock, loaded = Clock(), list[str]()
    three = [runtime(n, clock, s, loaded) for n, s in (("slow", 4.0), ("fast", 1.0), ("middle", 2.0))]
    absent = runtime("absent", clock, 0.1, loaded, is_here=False)

    def choose(model: str, cache: str = "cache") -> Choice:
        return fastest(Path("encoder.onnx"), 1, [model], tmp_path / cache, [*three, absent], clock)

    found = choose("one")
    assert found.name == "fast" and found.seconds == {"slow": 1.0, "fast": 0.25, "middle": 0.5}
    assert str(found) == "runtime fast (encoding a photo: fast 250 ms, middle 500 ms, slow 1000 ms)"
    assert loaded == ["slow", "fast", "middle"]
    assert choose("one") == found and len(loaded) == 3, "remembered"
    choose("another model")
    assert len(loaded) == 6
    assert choose("one") == found and len(loaded) == 6, "beside the other"


def test_a_runtime_that_fails_is_not_chosen(tmp_path: Path) -> None:
    clock = Clock()

    def refuse(path: Path, threads: int) -> Any:
        raise BadBundle("cannot load it")

    good = runtime("good", clock, 1.0, [])
    found = fastest(Path("x"), 1, ["m"], tmp_path, [replace(good, name="bad", load_encoder=refuse), good], clock)
    assert found.name == "good" and found.failed == {"bad": "cannot load it"}
    assert str(found).endswith("; bad: cannot load it)")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}'])
def test_a_damaged_cache_is_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    clock, loaded = Clock(), list[str]()
    for _ in range(2):
        assert fastest(Path("x"), 1, ["m"], tmp_path, [runtime("one", clock, 1.0, loaded)], clock).name == "one"
    assert len(loaded) == 1


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert fastest(Path("x"), 1, ["m"], tmp_path / "file", [runtime("one", Clock(), 1.0, [])], Clock()).name == "one"


def test_the_real_ones_are_named_as_they_are_asked_for() -> None:
    assert list(RUNTIMES) == [runtime.name for runtime in RUNTIMES.values()]
    assert [name for name, found in RUNTIMES.items() if not found.is_float32] == ["openvino-bf16"]


def test_where_none_can_load_the_encoder_the_first_reason_is_raised(tmp_path: Path) -> None:
    def refuse(path: Path, threads: int) -> Any:
        raise BadBundle("encoder.onnx: is damaged")

    bad = replace(runtime("bad", Clock(), 1.0, []), load_encoder=refuse)
    with pytest.raises(BadBundle, match="is damaged"):
        fastest(Path("x"), 1, ["m"], tmp_path, [bad], Clock())


def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    """A card that is busy now is not so for ever."""
    clock, loaded = Clock(), list[str]()

    def refuse(path: Path, threads: int) -> Any:
        raise BadBundle("busy")

    good, bad = runtime("good", clock, 2.0, loaded), runtime("bad", clock, 1.0, loaded)
    assert fastest(Path("x"), 1, ["m"], tmp_path, [good, replace(bad, load_encoder=refuse)], clock).name == "good"
    assert fastest(Path("x"), 1, ["m"], tmp_path, [good, bad], clock).name == "bad"
