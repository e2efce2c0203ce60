"""The folder of a model from Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from showtell.errors import BadWeights
from showtell.hub.checkpoint import Checkpoint, Source, check_shapes, joined, merged, same

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, 3), "pooler.weight": torch.zeros(4)}


def folder_of(folder: Path, *files: dict[str, Tensor]) -> Path:
    """One file, or several with an index."""
    (folder / "config.json").write_text('{"model_type": "blip", "auto_map": {"AutoModel": "evil.Model"}}')
    if len(files) == 1:
        save_file(files[0], folder / "model.safetensors")
        return folder
    index: dict[str, str] = {}
    for number, tensors in enumerate(files):
        save_file(tensors, folder / f"part-{number}.safetensors")
        index.update(dict.fromkeys(tensors, f"part-{number}.safetensors"))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder


def test_tensors_are_read_from_one_file_or_from_parts(tmp_path: Path) -> None:
    one, parts = tmp_path / "one", tmp_path / "parts"
    one.mkdir()
    parts.mkdir()
    folder_of(one, TENSORS)
    folder_of(parts, {"a": TENSORS["a"]}, {"b": TENSORS["b"], "pooler.weight": TENSORS["pooler.weight"]})
    for folder in (one, parts):
        checkpoint = Checkpoint(folder)
        checkpoint.ignore(r"pooler\..*", "a caption needs no pooled vector")
        state = checkpoint.read(
            merged({"x": joined("b", "a")}, {"y": Source(("a",), lambda a: a.t()), "z": same("a")}),
        )
        assert state["x"].tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 2], [3, 4, 5]]
        assert state["y"].tolist() == [[0, 3], [1, 4], [2, 5]]
        assert state["z"].tolist() == TENSORS["a"].tolist()
        assert checkpoint.take("b").tolist() == TENSORS["b"].tolist()
        assert "a" in checkpoint and "c" not in checkpoint
        assert checkpoint.config["model_type"] == "blip"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.tensor([0.1, -3.0, 1e-3], dtype=dtype)
    checkpoint = Checkpoint(folder_of(tmp_path, {"a": values, "ids": torch.arange(3)}))
    assert checkpoint.take("a").dtype == torch.float32
    assert torch.equal(checkpoint.take("a"), values.float())
    assert checkpoint.take("ids").dtype == torch.int64


def test_one_error_names_the_first_missing_and_the_first_unused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(folder_of(tmp_path, TENSORS))
    with pytest.raises(BadWeights) as raised:
        checkpoint.read({"x": joined("a", "nowhere"), "y": same("lost")})
    message = str(raised.value)
    assert "2 tensors expected and not there, first nowhere" in message
    assert "2 tensors there and not expected, first b" in message
    checkpoint.ignore("b|pooler.*", "a test")
    with pytest.raises(BadWeights, match=r"1 tensor expected and not there, first nowhere, no tensors there and"):
        checkpoint.read({"x": joined("a", "nowhere")})
    with pytest.raises(BadWeights, match="no tensors expected and not there, 1 tensor there and not expected, first a"):
        checkpoint.read({})
    with pytest.raises(BadWeights, match="first nowhere"):
        checkpoint.take("nowhere")


def test_ignored_patterns_match_whole_names(tmp_path: Path) -> None:
    checkpoint = Checkpoint(folder_of(tmp_path, TENSORS))
    checkpoint.ignore("pooler", "a test")
    with pytest.raises(BadWeights, match=r"first pooler\.weight"):
        checkpoint.read({"x": joined("a", "b")})


def test_shapes_are_those_of_the_network(tmp_path: Path) -> None:
    check_shapes(tmp_path, TENSORS, TENSORS)
    with pytest.raises(BadWeights, match=r"b would have shape \(2, 3\); expected \(3, 2\)"):
        check_shapes(tmp_path, TENSORS, {**TENSORS, "b": torch.ones(3, 2)})
    with pytest.raises(BadWeights, match=r"c would have shape None; expected \(1,\)"):
        check_shapes(tmp_path, TENSORS, {**TENSORS, "c": torch.ones(1)})
    with pytest.raises(BadWeights, match=r"b would have shape \(2, 3\); expected None"):
        check_shapes(tmp_path, TENSORS, {name: TENSORS[name] for name in ("a", "pooler.weight")})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"config\.json: cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[1]"), r"config\.json: found no JSON object"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json: cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "expected a model saved as safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04pickle"), "cannot be read"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("{}"), "found no weight_map"),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../x.bin"}}'),
            "found no weight_map of files in this folder",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                '{"weight_map": {"a": "gone.safetensors"}}'
            ),
            r"gone\.safetensors: cannot be read",
        ),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(tmp_path: Path, damage: object, message: str) -> None:
    folder_of(tmp_path, {"a": TENSORS["a"]})
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(BadWeights, match=message) as raised:
        Checkpoint(tmp_path).read({"x": same("a")})
    assert "\n" not in str(raised.value)
