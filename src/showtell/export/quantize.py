"""Linear layers in eight-bit integers: a quarter of float32's memory, and several times its speed.

A weight is rounded to integers from -64 to 64 with one scale per output, when the bundle is written; an input to
integers from -127 to 127 with one scale per row, at every run (as ZeroQuant does: Yao et al. 2022, section 4.1). The
product of integers is exact, and is multiplied by both scales. Convolutions and lookups stay in half precision.

Rejected, with times of six layers of BLIP's size (577 rows) on one AVX-512 core with VNNI, where float32 takes 165 ms
and this takes 47:

- ONNX Runtime's `quantize_dynamic` (42 ms): one scale for all rows, so that the caption of a photo would depend on the
  other photos of its batch.
- All 8 bits of a weight: x86 CPUs without VNNI add pairs of products in 16 bits. 2 * 255 * 127 is more than 32,767, and
  such a sum is cut off without notice; 2 * 255 * 64 is less, so that every CPU computes the same.
- Unsigned weights, which need no such care (114 ms).
- `MatMulNBits` with 8 bits (77 ms and more).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from showtell.core.bundle import WEIGHTS
from showtell.export.rewrite import CONTRIB
from showtell.export.weights import SMALL
from showtell.files import replacing

WEIGHT_MAX = 64
INPUT_MAX = 127
INPUT_ZERO = 128
"""Inputs are stored unsigned, with this number for 0: the kernels want it so."""
SMALLEST = 1e-30
"""In place of the scale of a row of zeros."""


def quantize(folder: Path) -> None:
    """Turn `encoder.onnx` and `decoder.onnx`, as `export_graphs` wrote them, into eight-bit ones.

    `model.safetensors` is removed; what is large goes to `encoder.onnx.data` and `decoder.onnx.data`.
    """
    for name in ("encoder.onnx", "decoder.onnx"):
        path = folder / name
        graph = _Quantizer(path)
        with replacing(path.with_name(f"{name}.data")) as temporary, temporary.open("wb") as file:
            graph.write_data(file, f"{name}.data")
        with replacing(path) as temporary:
            temporary.write_bytes(graph.proto.SerializeToString())
        onnx.checker.check_model(str(path))
    (folder / WEIGHTS).unlink()


class _Quantizer:
    """A graph on its way from half precision to eight bits."""

    def __init__(self, path: Path) -> None:
        self.proto: Any = onnx.load(str(path), load_external_data=False)
        self.folder = path.parent
        self.halves = {
            node.output[0]: node.input[0] for node in self.proto.graph.node if node.name.endswith(".float32.cast")
        }
        self.weights: dict[str, tuple[str, bool]] = {}
        """By the name of the integers: the half-precision tensor, and whether it is [out, in]."""
        self.inputs: dict[str, tuple[str, str]] = {}
        """Of each quantised input: the names of its integers and of its scales."""
        nodes: list[Any] = []
        for node in self.proto.graph.node:
            nodes += self._linear(node) if self._is_linear(node) else [node]
        read = {name for node in nodes for name in node.input}
        nodes = [node for node in nodes if node.output[0] not in self.halves or node.output[0] in read]
        del self.proto.graph.node[:]
        self.proto.graph.node.extend(nodes)
        self._add_constants(nodes)

    def write_data(self, file: BinaryIO, location: str) -> None:
        """Write all large tensors, one at a time, and let the graph refer to `location`."""
        graph = self.proto.graph
        used = {name for node in graph.node for name in node.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        external = {tensor.name: tensor for tensor in graph.initializer if tensor.external_data}
        del graph.initializer[:]
        for tensor in kept:
            is_large = tensor.name in external
            graph.initializer.append(_store(tensor.name, self._read(tensor), file, location) if is_large else tensor)
        for name, (half, transposed) in self.weights.items():
            integers, scales = quantize_weight(self._read(external[half]).astype(np.float32), transposed)
            graph.initializer.append(_store(name, integers, file, location))
            graph.initializer.append(_store(f"{name}.scale", scales, file, location))

    def _is_linear(self, node: Any) -> bool:
        """A product of some input and a weight."""
        if len(node.input) < 2 or node.input[1] not in self.halves or node.input[0] in self.halves:
            return False
        if node.op_type == "Gemm":
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            return bool(
                attributes.get("alpha", 1) == attributes.get("beta", 1) == 1 and not attributes.get("transA", 0)
            )
        return node.op_type in ("MatMul", "FusedMatMul")

    def _linear(self, node: Any) -> list[Any]:
        """The nodes that compute `node` in eight bits."""
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        weight = f"{self.halves[node.input[1]]}.int8" + ("" if transposed else ".in_out")
        self.weights[weight] = self.halves[node.input[1]], transposed
        nodes = [] if node.input[0] in self.inputs else self._quantize_input(node.input[0])
        integers, scales = self.inputs[node.input[0]]
        output, bias = node.output[0], node.input[2] if len(node.input) > 2 else ""
        product, scaled = f"{output}.product", f"{output}.scaled" if bias else output
        inputs = [integers, weight, "int8.one", f"{weight}.scale", "int8.zero"]
        nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [product], f"{output}.matmul", domain=CONTRIB))
        nodes.append(helper.make_node("Mul", [product, scales], [scaled], f"{output}.scale"))
        if bias:
            nodes.append(helper.make_node("Add", [scaled, bias], [output], f"{output}.bias"))
        return nodes

    def _quantize_input(self, x: str) -> list[Any]:
        integers, scales = self.inputs[x] = f"{x}.int8", f"{x}.row_scale"
        return [
            helper.make_node("Abs", [x], [f"{x}.abs"], f"{x}.abs"),
            helper.make_node("ReduceMax", [f"{x}.abs", "int8.last_axis"], [f"{x}.max"], f"{x}.max", keepdims=1),
            helper.make_node("Mul", [f"{x}.max", "int8.step"], [f"{x}.step"], f"{x}.step"),
            helper.make_node("Max", [f"{x}.step", "int8.smallest"], [scales], scales),
            helper.make_node("Div", [x, scales], [f"{x}.ratio"], f"{x}.ratio"),
            helper.make_node("QuantizeLinear", [f"{x}.ratio", "int8.one", "int8.zero"], [integers], integers),
        ]

    def _add_constants(self, nodes: Iterable[Any]) -> None:
        if not self.weights:
            return
        constants: dict[str, NDArray[Any]] = {
            "int8.one": np.array(1, np.float32),
            "int8.zero": np.array(INPUT_ZERO, np.uint8),
            "int8.step": np.array(1 / INPUT_MAX, np.float32),
            "int8.smallest": np.array(SMALLEST, np.float32),
            "int8.last_axis": np.array([-1], np.int64),
        }
        self.proto.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in constants.items())
        if not any(opset.domain == CONTRIB for opset in self.proto.opset_import):
            self.proto.opset_import.append(helper.make_opsetid(CONTRIB, 1))

    def _read(self, tensor: Any) -> NDArray[Any]:
        place = {entry.key: entry.value for entry in tensor.external_data}
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        path = self.folder / place["location"]
        return np.memmap(path, dtype, "r", int(place["offset"]), tuple(tensor.dims))


def quantize_weight(weight: NDArray[np.float32], transposed: bool) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A weight [in, out], or [out, in] where `transposed` -> integers [in, out] and scales [out]."""
    weight = weight.T if transposed else weight
    scales = np.maximum(abs(weight).max(0) / WEIGHT_MAX, SMALLEST).astype(np.float32)
    return np.ascontiguousarray((weight / scales).round().astype(np.int8)), scales


def _store(name: str, array: NDArray[Any], file: BinaryIO, location: str) -> Any:
    """A small array in the graph, a large one in the file."""
    if array.size < SMALL:
        return numpy_helper.from_array(np.ascontiguousarray(array), name)
    file.write(bytes(-file.tell() % 64))
    tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", file.tell()), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return tensor
