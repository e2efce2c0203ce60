"""The parts of the engine on Ray, each in this process."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import skips

from showtell.bulk import ray_model
from showtell.bulk.ray_model import ShippedModel, shipped
from showtell.bulk.ray_worker import CaptionerLoader, Worker, WorkerFailure
from showtell.cli.urls import with_urls
from showtell.core.bundle import builtin, load_bundle
from showtell.core.captioner import Captioner
from showtell.core.sources import ImageInput
from showtell.errors import BadBundle

ray = pytest.importorskip("ray", reason=skips.PACKAGES)

from showtell.bulk.ray_block import Block, read_block  # noqa: E402
from showtell.bulk.ray_worker import Outcome  # noqa: E402


@dataclass(frozen=True)
class Slice:
    """As a byte range of a tar is read."""

    file: Path

    def __call__(self) -> bytes:
        return self.file.read_bytes()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store without Ray's processes: references are the objects."""
    monkeypatch.setattr(ray, "put", lambda data: data)
    monkeypatch.setattr(ray, "get", lambda data: data)


def test_a_worker_captions_as_the_captioner_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # as the worker does, and back
    captioner = Captioner.load(threads=1)
    options = {"batch_size": 2, "num": 2, "decode": captioner.settings(beam_size=2)}
    worker = Worker(
        CaptionerLoader([shipped(captioner.bundle, False)], 1, captioner.max_pixels, "onnxruntime", options),
        str(tmp_path),
        "0.1.0",
    )
    assert isinstance(worker.start(), str)
    images = [ImageInput(str(path)) for path in sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))[:2]]
    images.append(ImageInput("gone.jpg"))
    rows = captioner.caption_many(images, **options)  # type: ignore[arg-type]
    assert worker.caption(images) == [Outcome(row.captions, row.error, row.detail) for row in rows]


def test_a_worker_of_another_version_is_refused() -> None:
    found = Worker(lambda: iter, ".", "0.0.1").start()
    assert isinstance(found, WorkerFailure) and "and 0.0.1 on the driver's machine; install the same" in found.message


def test_a_model_that_the_worker_has_not_comes_through_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: None
) -> None:
    monkeypatch.setattr(ray_model.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    folder = Path(shutil.copytree(builtin(), tmp_path / "model"))
    model, bundle = shipped(load_bundle(folder), False), load_bundle(folder)
    assert model.folder_here() == folder
    folder.rename(tmp_path / "elsewhere")
    there = model.folder_here()
    assert there != folder and load_bundle(there).fingerprint == bundle.fingerprint
    (there / "decoder.onnx").write_bytes(b"damaged")
    assert model.folder_here() == there and load_bundle(there).fingerprint == bundle.fingerprint
    (there / "decoder.onnx").write_bytes(b"damaged")
    damaged = ShippedModel(model.folder, model.manifest, {**model.files, "decoder.onnx": b"also"})
    with pytest.raises(BadBundle, match=r"decoder\.onnx"):
        damaged.folder_here()


def test_a_model_that_has_changed_since_the_run_began_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(builtin(), tmp_path / "model"))
    model = shipped(load_bundle(folder), True)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(BadBundle, match="another model than when the run began"):
        model.folder_here()


def test_a_file_that_is_here_and_not_on_the_workers_machine(tmp_path: Path) -> None:
    here = tmp_path / "here.tar"
    here.touch()
    gone = Outcome((), "missing", "no such file")
    unreadable = Outcome((), "unreadable", f"{here}: No such file or directory")
    changed = Outcome((), "unreadable", f"{here} has changed since its headers were read")
    images = [ImageInput(str(here)), ImageInput("gone.jpg"), ImageInput("cell", file=str(here))]
    images += [ImageInput(f"t/{n}", read=Slice(here)) for n in range(2)]
    block, _, _ = read_block(iter(images), 9)
    task = block.task()
    assert task is not None
    task.finish([gone, gone, gone, unreadable, changed])
    told = ["on the worker's machine" in str(row.detail) for row in block.rows()]
    assert told == [True, False, True, True, False]


def test_a_block_of_large_inputs_ends_early() -> None:
    data = bytes(9_000_000)
    images = iter([ImageInput(str(n), read=lambda data=data: data) for n in range(3)])  # type: ignore[misc]
    block, error, is_more = read_block(images, 64)
    assert (len(block.images), error, is_more) == (2, None, True) and block.size > 18_000_000


def test_a_task_whose_process_dies_is_done_again_then_one_by_one_then_given_up() -> None:
    block = Block()
    for name in "ab":
        block.add(ImageInput(name))
    task = block.task()
    assert task is not None and not task.is_suspect
    assert task.after_death(2, 2) == [task] and task.is_suspect
    first, second = task.after_death(2, 2)
    assert [first.images(), second.images()] == [[ImageInput("a")], [ImageInput("b")]] and first.is_suspect
    assert first.after_death(2, 2) == [first] and first.after_death(2, 2) == [] and not block.is_done
    second.finish([Outcome(detail="fine")])
    assert block.is_done and [row.error for row in block.rows()] == ["crashed", None]


def test_a_url_is_sent_as_such_and_a_process_has_one_fetcher_for_all() -> None:
    block = Block()
    [image] = with_urls([ImageInput("https://example.org/a.jpg")])
    block.add(image)
    assert block.travelling == [image] and block.travelling[0].read is image.read
    first, second = (pickle.loads(pickle.dumps(image.read)) for _ in range(2))  # noqa: S301
    assert first.func == second.func and first.args == ("https://example.org/a.jpg",)
