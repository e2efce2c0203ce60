"""The engine on Ray against the local one, with two worker processes on this machine and stubs for the model."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests import skips
from tests.bulk.stub import caption, photos, tree

from showtell.bulk import ray_cluster
from showtell.core.sources import ImageInput
from showtell.errors import BadBundle, BadConfig, BadImage, ShowtellError
from showtell.records import Caption, CaptionRow

ray = pytest.importorskip("ray", reason=skips.PACKAGES)

from ray import cloudpickle  # noqa: E402

from showtell.bulk import ray_engine  # noqa: E402
from showtell.bulk.ray_engine import WINDOW_PER_WORKER, RayEngine, Workers  # noqa: E402

SIZE = 3  # of a block


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with ray_cluster.connected(None, 2):
        yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class Stub:
    """Loads an engine that does something to some inputs; as a function, that engine in this process."""

    bad: frozenset[str] = frozenset()
    manner: str = "unreadable"
    marker: Path | None = None
    """The manner is done only once, when this file is made."""

    def __call__(self) -> Callable[[Iterator[ImageInput]], Iterator[CaptionRow]]:
        if self.manner == "no model":
            raise BadBundle("model: damaged")
        return self.rows

    def rows(self, images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        for image in images:
            if image.error is not None:
                yield CaptionRow(image, error=image.error.code, detail=image.error.detail)
                continue
            if image.path in self.bad and not (self.marker and self.marker.exists()):
                if self.marker is not None:
                    self.marker.touch()
                if self.manner == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                elif self.manner == "abort":
                    os.abort()
                elif self.manner == "raise":
                    raise RuntimeError(f"no\nmemory for {image.path}")
                yield CaptionRow(image, error="truncated", detail="found half a photo")
                continue
            text = f"a photo of {image.path}, {len(image.read()) if image.read else 0} bytes"
            yield CaptionRow(image, (Caption(text, -0.5, 0.5, (), "en"),))


def engine(load: Stub, workers: int = 2) -> RayEngine:
    return RayEngine(load, Workers(workers, 1, block_size=SIZE))


def names(*numbers: int) -> frozenset[str]:
    return frozenset(image.path for image in photos(*numbers))


def mixed(count: int) -> Iterator[ImageInput]:
    """What can be pickled, what cannot, what has an error already."""
    lock = threading.Lock()
    for number, image in enumerate(photos(*range(count))):
        data = bytes(number)
        kinds = [
            image,
            replace(image, read=lambda data=data: data),
            replace(image, read=lambda data=data: data if lock else b""),
            replace(image, error=BadImage("too_small", "found 1 pixel")),
        ]
        yield kinds[number % 4]


def test_an_output_that_both_engines_have_written_is_that_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of 3 inputs, a bad one in each place of a block and in all of one; Ray goes on where the other ended."""
    bad = names(0, 8, 16, 21, 22, 23)
    for folder in ("local", "ray"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        local = Stub(bad).rows
        if folder == "local":
            caption("rows.jsonl", mixed(40), rows=local)
            continue
        with pytest.raises(OSError, match="disk"):
            caption("rows.jsonl", interrupted(mixed(40), 10), rows=local)
        caption("rows.jsonl", mixed(40), rows=engine(Stub(bad)))
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")


def interrupted(images: Iterator[ImageInput], at: int) -> Iterator[ImageInput]:
    yield from itertools.islice(images, at)
    raise OSError("no disk")


def test_a_worker_that_is_killed_shows_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images = photos(*range(20))
    load = Stub(names(7), "kill", tmp_path / "killed")
    assert list(engine(load)(iter(images))) == list(Stub().rows(iter(images)))
    assert (tmp_path / "killed").exists() and capfd.readouterr() == ("", "")


def test_a_record_that_ends_its_process_is_found_in_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "MAX_BLOCK_DEATHS", 1)
    monkeypatch.setattr(ray_engine, "MAX_INPUT_DEATHS", 1)
    images, bad = photos(*range(14)), names(0, 4, 8, 12, 13)  # first, middle, last, all of the last block
    rows = list(engine(Stub(bad, "abort"))(iter(images)))
    assert [row.source for row in rows] == images
    assert {row.source.path for row in rows if row.error == "crashed"} == bad  # type: ignore[attr-defined]
    assert all(row.captions for row in rows if row.error is None)


def test_a_record_that_makes_the_engine_raise_is_found_in_every_place() -> None:
    images, bad = photos(*range(14)), names(0, 4, 8, 12, 13)
    rows = list(engine(Stub(bad, "raise"), workers=1)(iter(images)))
    assert [row.source.path for row in rows if row.error] == sorted(bad)  # type: ignore[attr-defined]
    assert (rows[0].error, rows[0].detail) == (
        "crashed",
        "captioning it raised RuntimeError (no memory for photos/000000.jpg); leave it out, and report it",
    )


def test_a_source_without_end_is_read_as_far_as_workers_need_it() -> None:
    taken = 0

    def endless() -> Iterator[ImageInput]:
        nonlocal taken
        for taken in itertools.count(1):
            yield ImageInput(f"{taken}.jpg")

    rows = engine(Stub(), workers=1)(endless())
    assert [next(rows).source for _ in range(50)] == [ImageInput(f"{n}.jpg") for n in range(1, 51)]
    rows.close()  # type: ignore[attr-defined]
    assert taken <= 50 + (WINDOW_PER_WORKER + 1) * SIZE


def test_an_error_of_the_source_comes_after_the_rows_before_it() -> None:
    rows = engine(Stub(), workers=1)(interrupted(iter(photos(*range(9))), 5))
    assert [next(rows).source for _ in range(5)] == photos(*range(5))
    with pytest.raises(OSError, match="no disk"):
        next(rows)


def test_a_model_that_does_not_load_is_one_line() -> None:
    with pytest.raises(ShowtellError, match=r"^--engine ray: model: damaged \(on .+\)$"):
        list(engine(Stub(manner="no model"), workers=1)(iter(photos(1))))


@pytest.mark.parametrize(
    ("address", "problem"),
    [("127.0.0.1:1", "no cluster that this machine belongs to"), ("ray://host:10001", "expected HOST:PORT or auto")],
)
def test_an_address_without_a_cluster(address: str, problem: str) -> None:
    with pytest.raises(BadConfig, match=problem), ray_cluster.connected(address):
        pass
