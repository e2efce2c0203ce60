"""The file `model.safetensors` of a bundle: every weight once, in half precision, for both graphs and for training.

It is written here, tensor by tensor, and not by the safetensors library, which needs all tensors in memory in the
precision of the file beside the model itself, and does not say where in the file each of them lies. The format is a
length (8 bytes), a header in JSON, and the tensors' bytes without gaps; tensors of wide types come first, so that all
are aligned to their type. ONNX Runtime maps the file into memory at any offset.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from showtell import __version__
from showtell.errors import ExportMismatch
from showtell.files import replacing

SMALL = 1024
"""Tensors of fewer elements (biases, norms, constants) stay float32, and inside the graphs."""
DTYPES = {
    "float32": ("F32", onnx.TensorProto.FLOAT),
    "float16": ("F16", onnx.TensorProto.FLOAT16),
    "int64": ("I64", onnx.TensorProto.INT64),
    "int32": ("I32", onnx.TensorProto.INT32),
    "bool": ("BOOL", onnx.TensorProto.BOOL),
}
"""The names of a numpy type in safetensors and in ONNX."""


@dataclass(frozen=True)
class Entry:
    """A tensor of the file, read from the model only when it is written."""

    name: str
    dtype: str
    """numpy's name of the type in the file."""
    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def to_stored(tensor: Tensor) -> Tensor:
    """The tensor as the file has it. Raises ExportMismatch where a weight is too large for half precision."""
    tensor = tensor.detach()
    if tensor.dtype != torch.float32 or tensor.numel() < SMALL:
        return tensor
    half = tensor.half()
    if tensor.isfinite().all() and not half.isfinite().all():
        raise ExportMismatch(
            f"found a weight of {float(tensor.abs().max()):.3g}; half precision, in which bundles store weights, ends "
            "at 65504; train with weight decay or a lower learning rate"
        )
    return half


def state_entries(model: nn.Module) -> dict[str, Entry]:
    """Of every tensor in the state dict, by name."""
    return {name: _state_entry(name, tensor) for name, tensor in model.state_dict().items()}


def _state_entry(name: str, tensor: Tensor) -> Entry:
    half = tensor.dtype == torch.float32 and tensor.numel() >= SMALL
    dtype = "float16" if half else str(tensor.dtype).removeprefix("torch.")
    return Entry(name, dtype, tuple(tensor.shape), lambda: to_stored(tensor).numpy())


def constant_entry(name: str, array: NDArray[Any]) -> Entry:
    """Of a constant that is no weight; in half precision only where that changes nothing."""
    if array.dtype == np.float32:
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        array = half if np.array_equal(half.astype(np.float32), array, equal_nan=True) else array
    return Entry(name, str(array.dtype), array.shape, lambda: array)


def is_same(one: Entry, other: Entry) -> bool:
    """Whether two entries have the same bytes."""
    alike = (one.dtype, one.shape) == (other.dtype, other.shape)
    return alike and np.array_equal(one.read().view(np.uint8), other.read().view(np.uint8))


def write_weights(path: Path, entries: Iterable[Entry]) -> dict[str, int]:
    """Returns where in the file each tensor begins. The same tensors give the same bytes."""
    # Wide types first, so that all are aligned.
    ordered = sorted(entries, key=lambda entry: (-np.dtype(entry.dtype).itemsize, entry.name))
    ends = list(itertools.accumulate((entry.nbytes for entry in ordered), initial=0))
    offsets = {entry.name: begin for entry, begin in zip(ordered, ends, strict=False)}
    header = _header(ordered, offsets)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for entry in ordered:
            array = np.asarray(entry.read(), order="C")
            assert (str(array.dtype), array.shape) == (entry.dtype, entry.shape), entry.name
            file.write(array.reshape(-1).view(np.uint8).data)
    return {name: 8 + len(header) + offset for name, offset in offsets.items()}


def _header(entries: Iterable[Entry], offsets: Mapping[str, int]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "showtell": __version__}}
    for entry in entries:
        begin = offsets[entry.name]
        header[entry.name] = {
            "dtype": DTYPES[entry.dtype][0],
            "shape": list(entry.shape),
            "data_offsets": [begin, begin + entry.nbytes],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 64)  # padded with spaces, so that the tensors begin at a multiple of 8
