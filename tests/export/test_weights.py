"""The weights' file, read by the safetensors library; and graphs that refer to it, beside the same weights inside."""

import multiprocessing
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from showtell import Captioner
from showtell.core.bundle import load_bundle, write_bundle
from showtell.core.onnx_stepper import OnnxStepper
from showtell.errors import BadBundle, ExportMismatch
from showtell.export.bundle import load_run
from showtell.export.graphs import export_graphs, round_to_half
from showtell.export.weights import constant_entry, is_same, state_entries, write_weights
from showtell.train.run_folder import RunFolder

PHOTO = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
WEIGHTS = "model.safetensors"


class Various(nn.Module):
    """Tensors of several types and sizes, down to none."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Parameter(torch.randn(40, 30).t())
        self.small = nn.Parameter(torch.randn(3))
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("mask", torch.tensor([True, False, True]))
        self.register_buffer("empty", torch.zeros(0, 4))


def test_the_library_reads_the_file(tmp_path: Path) -> None:
    model = Various()
    entries = [*state_entries(model).values(), constant_entry("encoder.onnx/x", np.full(1500, 0.1, np.float32))]
    offsets = write_weights(tmp_path / "one", entries)
    write_weights(tmp_path / "two", reversed(entries))
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "two").read_bytes()
    found = load_file(tmp_path / "one")
    large = model.large.detach().half().numpy()
    expected = {"large": large, "small": model.small.detach().numpy(), "count": np.array(7), "encoder.onnx/x": None}
    expected |= {"mask": np.array([True, False, True]), "empty": np.zeros((0, 4), np.float32)}
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        if array is not None:
            assert found[name].dtype == array.dtype and np.array_equal(found[name], array), name
        assert offsets[name] % found[name].dtype.itemsize == 0
        begin = offsets[name]
        assert content[begin : begin + found[name].nbytes] == found[name].tobytes()
    # A constant that half precision would change stays as it is.
    assert found["encoder.onnx/x"].dtype == np.float32 and (found["encoder.onnx/x"] == np.float32(0.1)).all()


def test_a_constant_is_in_half_precision_where_that_changes_nothing() -> None:
    one, other = np.full(2000, 0.5, np.float32), np.full(2000, 0.25, np.float32)
    assert constant_entry("x", one).dtype == "float16"
    assert constant_entry("x", np.full(2000, -3e38, np.float32)).dtype == "float32"
    assert is_same(constant_entry("x", one), constant_entry("y", one.copy()))
    assert not is_same(constant_entry("x", one), constant_entry("x", other))
    assert not is_same(constant_entry("x", one), constant_entry("x", one.reshape(2, 1000)))


def test_a_weight_that_half_precision_cannot_hold_is_refused() -> None:
    model = nn.Linear(64, 64)
    with torch.no_grad():
        model.weight[3, 5] = 7e4
    with pytest.raises(ExportMismatch, match="found a weight of 7e"):
        round_to_half(model)


# --- bundles


def embedded(bundle: Path, folder: Path) -> Path:
    """The bundle with its weights inside the graphs, as earlier versions wrote it."""
    parts = folder / "parts"
    parts.mkdir()
    for name in ("tokenizer.json", "README.md"):
        shutil.copy(bundle / name, parts)
    for name in ("encoder.onnx", "decoder.onnx"):
        onnx.save(onnx.load(bundle / name), parts / name)
    manifest = load_bundle(bundle).manifest.model_dump(exclude={"files"})
    write_bundle(folder / "embedded", manifest, parts)
    return folder / "embedded"


def caption(bundle: Path) -> Any:
    result = Captioner.load(bundle, threads=1).caption(PHOTO)
    return result.text, result.score


def test_the_same_weights_inside_the_graphs_give_the_same(exported: tuple[RunFolder, Path], tmp_path: Path) -> None:
    bundle, other = exported[1], embedded(exported[1], tmp_path)
    assert load_bundle(other).manifest.files.keys() == load_bundle(bundle).manifest.files.keys() - {WEIGHTS}
    assert caption(bundle) == caption(other)


@pytest.mark.parametrize("exported", ["transformer"], indirect=True)
def test_a_lookup_reads_half_precision(exported: tuple[RunFolder, Path]) -> None:
    graph = onnx.load(exported[1] / "decoder.onnx", load_external_data=False).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    tables = [node.input[0] for node in graph.node if node.op_type == "Gather" and node.input[0] in kinds]
    assert "decoder.token_embedding.weight" in tables
    assert kinds["decoder.token_embedding.weight"] == onnx.TensorProto.FLOAT16
    assert {i.type.tensor_type.elem_type for i in graph.input} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


@pytest.mark.parametrize("exported", ["attention"], indirect=True)
def test_the_same_model_gives_the_same_files(exported: tuple[RunFolder, Path], tmp_path: Path) -> None:
    run, bundle = exported
    model, _, _ = load_run(run)
    export_graphs(model, 96, tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (bundle / file.name).read_bytes(), file.name
    assert len(list(tmp_path.iterdir())) == 3


def damaged(bundle: Path, damage: str) -> str:
    """Damage the weights; returns what loading says."""
    file = bundle / WEIGHTS
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
        return "cannot be read"
    if damage == "cut":
        file.write_bytes(content[:-1])
        return f"found {len(content) - 1} bytes, expected {len(content)}"
    content[-1] ^= 1
    file.write_bytes(content)
    return "its sha256 is not the one"


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_damaged_weights_are_refused_by_name(exported: tuple[RunFolder, Path], tmp_path: Path, damage: str) -> None:
    bundle = Path(shutil.copytree(exported[1], tmp_path / "bundle"))
    message = damaged(bundle, damage)
    with pytest.raises(BadBundle, match=rf"model\.safetensors: {message}"):
        load_bundle(bundle)


def as_links(bundle: Path, folder: Path) -> Path:
    """Every file a link into another folder, as in the cache of Hugging Face's hub."""
    (folder / "blobs").mkdir()
    (folder / "snapshot").mkdir()
    for number, file in enumerate(bundle.iterdir()):
        shutil.copy(file, folder / "blobs" / f"{number}")
        (folder / "snapshot" / file.name).symlink_to(Path("..") / "blobs" / f"{number}")
    return folder / "snapshot"


def test_weights_are_found_wherever_the_bundle_is(
    exported: tuple[RunFolder, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Path(shutil.copytree(exported[1], tmp_path / "bundle"))
    expected = caption(bundle)
    (tmp_path / "link").symlink_to(bundle)
    assert caption(tmp_path / "link") == expected
    assert caption(as_links(bundle, tmp_path)) == expected
    monkeypatch.chdir(bundle)
    assert caption(Path()) == expected
    monkeypatch.chdir(tmp_path)
    captioner = Captioner.load("bundle", threads=1)
    bundle.chmod(0o555)
    monkeypatch.chdir("/")
    copied = pickle.loads(pickle.dumps(captioner))  # noqa: S301 (its own)
    assert captioner.caption(PHOTO).text == copied.caption(PHOTO).text == expected[0]
    bundle.chmod(0o755)


def first_step(stepper: OnnxStepper) -> str:
    """Of a child, which loads the graphs again: what it computes, or why not."""
    try:
        memory = stepper.encode(np.zeros((1, 3, 96, 96), np.float32))
        return str(stepper.step(np.array([[3]]), stepper.init_state(memory)).log_probs.argmax())
    except BadBundle as error:
        return str(error)


def test_a_link_out_of_the_folder_is_called_so(exported: tuple[RunFolder, Path], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(exported[1], tmp_path / "bundle"))
    (bundle / WEIGHTS).rename(tmp_path / "elsewhere")
    (bundle / WEIGHTS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadBundle, match=r"encoder\.onnx: .* replace links to its weights by the files themselves"):
        Captioner.load(bundle)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes are forked")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_loads_the_weights_again_unless_they_changed(
    exported: tuple[RunFolder, Path], tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(exported[1], tmp_path / "bundle"))
    stepper = OnnxStepper(bundle / "encoder.onnx", bundle / "decoder.onnx", 1)
    expected = first_step(stepper)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(first_step, (stepper,)) == expected
    os.utime(bundle / WEIGHTS, (0, 0))
    assert in_fork(stepper).endswith("encoder.onnx: has changed since the captioner was loaded; load it again")


def in_fork(stepper: OnnxStepper) -> str:
    """Not pickled: the child has the stepper of the parent."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, first_step(stepper).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer
