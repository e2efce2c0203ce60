"""Models that somebody made to do harm: code in a pickle, paths that lead out of the folder, links, headers that lie.

Each changes the copy of a bundle or of a run, with hashes that fit, as whoever makes one would see to. `canary` is a
file that code in a pickle would make; `secret` one outside the folder that nothing may read.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import tokenizers
import torch
from onnx import TensorProto, helper
from safetensors.numpy import load_file, save_file
from tests import tiny_bundle
from tests.manifests import write_manifest

from showtell.core.bundle import MANIFEST, WEIGHTS
from showtell.files import sha256
from torture.model_files import replace

BUNDLE, STATE, BEST = "bundle of an imported model", "state of a run", "best model of a run"
STATE_FILE, BEST_FILE = "last/state.safetensors", "best/model.safetensors"


class Hostile(NamedTuple):
    subject: str
    change: Callable[[Path, Path, Path], object]
    """Called with the folder, the canary and the secret."""


class _Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def pickled(canary: Path) -> bytes:
    return pickle.dumps(_Payload(canary))


def torch_file(canary: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(_Payload(canary), buffer)
    return buffer.getvalue()


def rehash(bundle: Path, **changes: Any) -> None:
    """The manifest believes in the files as they are."""
    raw = {**json.loads((bundle / MANIFEST).read_text(encoding="utf-8")), **changes}
    for name in raw["files"]:
        if (bundle / name).is_file():
            raw["files"][name] = {"sha256": sha256(bundle / name), "size": (bundle / name).stat().st_size}
    (bundle / MANIFEST).unlink()
    write_manifest(bundle, raw)


def _put(name: str, data: Callable[[Path], bytes]) -> Callable[[Path, Path, Path], None]:
    def change(folder: Path, canary: Path, _: Path) -> None:
        replace(folder / name, data(canary))
        if (folder / MANIFEST).exists() and name != MANIFEST:
            rehash(folder)

    return change


def _external(location: Callable[[Path, Path], str], **more: int) -> Callable[[Path, Path, Path], None]:
    """The decoder's weights in another place."""

    def change(folder: Path, _: Path, secret: Path) -> None:
        model = onnx.load(folder / "decoder.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = location(folder, secret) if entry.key == "location" else entry.value
                entry.value = str(more.get(entry.key, entry.value))
        replace(folder / "decoder.onnx", model.SerializeToString())
        rehash(folder)

    return change


def _in_header(size: int) -> Callable[[Path], bytes]:
    """A safetensors file that says its header is so long."""
    return lambda _: struct.pack("<Q", size) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' + bytes(4)


def _with_tensor(**entry: Any) -> Callable[[Path], bytes]:
    def data(_: Path) -> bytes:
        header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **entry}}).encode()
        return struct.pack("<Q", len(header)) + header + bytes(4)

    return data


def _deep_metadata(_: Path) -> bytes:
    header = json.dumps({"__metadata__": {"progress": "[" * 100_000, "scaler": "{}"}}).encode()
    return struct.pack("<Q", len(header)) + header


def _link_to(name: str, target: Callable[[Path], Path | str]) -> Callable[[Path, Path, Path], None]:
    def change(folder: Path, _: Path, secret: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target(secret))

    return change


def _pipe(name: str) -> Callable[[Path, Path, Path], None]:
    def change(folder: Path, *_: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def _manifest(**changes: Any) -> Callable[[Path, Path, Path], None]:
    return lambda folder, *_: rehash(folder, **changes)


def _other_vocabulary(folder: Path, *_: Path) -> None:
    table = load_file(folder / WEIGHTS)[tiny_bundle.NAME]
    (folder / WEIGHTS).unlink()
    save_file({tiny_bundle.NAME: table[:, :-2].copy()}, folder / WEIGHTS)
    rehash(folder)


def _other_memory(folder: Path, *_: Path) -> None:
    """An encoder whose output has another shape than the decoder reads."""
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["pixels", "axes"], ["memory.mean"], keepdims=0)],
        "encoder",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["B", 3, "H", "W"])],
        [helper.make_tensor_value_info("memory.mean", TensorProto.FLOAT, ["B", "H", "W"])],
        [axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    replace(folder / "encoder.onnx", model.SerializeToString())
    rehash(folder)


def _foreign_operator(folder: Path, *_: Path) -> None:
    model = onnx.load(folder / "decoder.onnx", load_external_data=False)
    model.graph.node[0].domain, model.graph.node[0].op_type = "com.evil", "Execute"
    replace(folder / "decoder.onnx", model.SerializeToString())
    rehash(folder)


def _huge_initializer(folder: Path, *_: Path) -> None:
    model = onnx.load(folder / "encoder.onnx", load_external_data=False)
    model.graph.initializer[0].dims[:] = [1 << 40]
    replace(folder / "encoder.onnx", model.SerializeToString())
    rehash(folder)


def _other_tokens(folder: Path, *_: Path) -> None:
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_tokens([f"extra{n}" for n in range(50)])
    (folder / "tokenizer.json").unlink()
    backend.save(str(folder / "tokenizer.json"))
    rehash(folder)


def _zip(folder: Path, _: Path, secret: Path) -> None:
    """The whole folder becomes an archive that would write outside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr(f"../../{secret.name}", b"overwritten")
        zipped.writestr(MANIFEST, (folder / MANIFEST).read_bytes())
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_bytes(buffer.getvalue())


def _recipe(text: str) -> Callable[[Path, Path, Path], None]:
    def change(folder: Path, canary: Path, _: Path) -> None:
        replace(folder / "config.yaml", text.replace("CANARY", str(canary)).encode())

    return change


YAML_BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))

HOSTILE: dict[str, Hostile] = {
    "pickle as a network": Hostile(BUNDLE, _put("encoder.onnx", pickled)),
    "pickle as a tokenizer": Hostile(BUNDLE, _put("tokenizer.json", pickled)),
    "pickle as weights": Hostile(BUNDLE, _put(WEIGHTS, pickled)),
    "pickle as a manifest": Hostile(BUNDLE, _put(MANIFEST, pickled)),
    "torch file as a state": Hostile(STATE, _put(STATE_FILE, torch_file)),
    "pickle as a state": Hostile(STATE, _put(STATE_FILE, pickled)),
    "torch file as best weights": Hostile(BEST, _put(BEST_FILE, torch_file)),
    "pickle as the tokenizer of a run": Hostile(BEST, _put("tokenizer.json", pickled)),
    "code in a recipe": Hostile(BEST, _recipe("!!python/object/apply:pathlib.Path.touch ['CANARY']\n")),
    "recipe of a thousand million laughs": Hostile(BEST, _recipe(YAML_BOMB)),
    "value of a recipe of a thousand million laughs": Hostile(BEST, _recipe(YAML_BOMB + "train: {epochs: *a11}\n")),
    "recipe of nested lists": Hostile(BEST, _recipe("a: " + "[" * 100_000)),
    "weights above the folder": Hostile(BUNDLE, _external(lambda folder, secret: f"../{secret.name}")),
    "weights by an absolute path": Hostile(BUNDLE, _external(lambda folder, secret: str(secret))),
    "weights beyond the end": Hostile(BUNDLE, _external(lambda folder, secret: WEIGHTS, offset=1 << 40)),
    "weights longer than the file": Hostile(BUNDLE, _external(lambda folder, secret: WEIGHTS, length=1 << 40)),
    "link to other weights": Hostile(BUNDLE, _link_to(WEIGHTS, lambda secret: secret)),
    "link to a device": Hostile(BUNDLE, _link_to("encoder.onnx", lambda secret: "/dev/zero")),
    "manifest that is a device": Hostile(BUNDLE, _link_to(MANIFEST, lambda secret: "/dev/zero")),
    "link in a circle": Hostile(BUNDLE, _link_to("tokenizer.json", lambda secret: "tokenizer.json")),
    "pipe as a network": Hostile(BUNDLE, _pipe("decoder.onnx")),
    "pipe as a manifest": Hostile(BUNDLE, _pipe(MANIFEST)),
    "archive that writes outside": Hostile(BUNDLE, _zip),
    "nested manifest": Hostile(BUNDLE, _put(MANIFEST, lambda _: b"[" * 1_000_000)),
    "manifest of a huge number": Hostile(BUNDLE, _put(MANIFEST, lambda _: b'{"format": ' + b"9" * 100_000 + b"}")),
    "sides of a million pixels": Hostile(BUNDLE, _manifest(pixels={"size": 1_000_000})),
    "beam of a million": Hostile(BUNDLE, _manifest(decode={"beam_size": 1_000_000})),
    "token ids beyond the network": Hostile(BUNDLE, _manifest(imported_text={"bos_ids": [10**9], "eos_id": 3})),
    "negative token ids": Hostile(BUNDLE, _manifest(imported_text={"bos_ids": [-1], "eos_id": -5})),
    "table of another shape": Hostile(BUNDLE, _other_vocabulary),
    "memory of another shape": Hostile(BUNDLE, _other_memory),
    "operator of its own": Hostile(BUNDLE, _foreign_operator),
    "tensor of 4 TB": Hostile(BUNDLE, _huge_initializer),
    "more tokens than the network": Hostile(BUNDLE, _other_tokens),
    "state with a huge header": Hostile(STATE, _put(STATE_FILE, _in_header(1 << 62))),
    "state with a header beyond the end": Hostile(STATE, _put(STATE_FILE, _in_header(1 << 20))),
    "state with nested metadata": Hostile(STATE, _put(STATE_FILE, _deep_metadata)),
    "state with a tensor of 4 TB": Hostile(STATE, _put(STATE_FILE, _with_tensor(shape=[1 << 40]))),
    "weights with overlapping tensors": Hostile(BEST, _put(BEST_FILE, _with_tensor(data_offsets=[-4, 0]))),
    "weights with a tensor beyond the end": Hostile(BEST, _put(BEST_FILE, _with_tensor(data_offsets=[0, 1 << 40]))),
    "weights of another shape": Hostile(BEST, _put(BEST_FILE, _with_tensor())),
    "numpy object array as weights": Hostile(BEST, _put(BEST_FILE, lambda canary: _object_array(canary))),
}


def _object_array(canary: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Payload(canary)], dtype=object), allow_pickle=True)
    return buffer.getvalue()
