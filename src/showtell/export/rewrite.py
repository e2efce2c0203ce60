"""A graph whose weights lie in `model.safetensors`, as external data that keep the layout they have in torch.

A linear layer's weight is [out, in] there, and in half precision. `MatMul` wants float32 [in, out]. Of the graphs that
turn the one into the other, measured with ONNX Runtime 1.32 on 94 million weights (377 MB in float32):

    Cast, Transpose, MatMul                    peak 833 MB, 690 MB once loaded: both layouts are kept
    Transpose, Cast, MatMul                    peak 622 MB, 451 MB once loaded
    half precision inside the graph, Cast      peak 626 MB, 442 MB once loaded
    Cast, FusedMatMul with transB              peak 460 MB, 446 MB once loaded

ONNX Runtime folds the Cast when it loads the graph and packs the product for its kernels, one weight at a time; a
Transpose makes it keep two layouts at once. FusedMatMul is ONNX Runtime's own operator, and no other runtime reads it;
the one that would (Gemm) takes two dimensions only, and costs two reshapes of unknown sizes at every layer.

A lookup (Gather) reads half precision and casts what it has read: the table of a large vocabulary is never expanded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnx import TensorProto, helper

from showtell.core.bundle import WEIGHTS
from showtell.export.weights import DTYPES, Entry

CONTRIB = "com.microsoft"


def use_weights(proto: Any, stored: Mapping[str, Entry], offsets: Mapping[str, int]) -> None:
    """Let the inputs that `stored` names be external data; `offsets` are those of the file."""
    graph = proto.graph
    entries = sorted({entry.name: entry for entry in stored.values()}.values(), key=lambda entry: entry.name)
    graph.initializer.extend(_external(entry, offsets[entry.name]) for entry in entries)
    halves = {f"{entry.name}.float32": entry.name for entry in entries if entry.dtype == "float16"}
    names = {name: entry.name + ".float32" * (entry.dtype == "float16") for name, entry in stored.items()}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    nodes = _look_up_in_half(_fuse_transposes(list(graph.node), halves), halves)
    read = {name for node in nodes for name in node.input}
    casts = [_cast(half, name) for name, half in halves.items() if name in read]
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    if any(node.domain == CONTRIB for node in nodes):
        proto.opset_import.append(helper.make_opsetid(CONTRIB, 1))


def _external(entry: Entry, offset: int) -> Any:
    tensor = TensorProto(name=entry.name, data_type=DTYPES[entry.dtype][1], dims=entry.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", offset), ("length", entry.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _fuse_transposes(nodes: list[Any], halves: Mapping[str, str]) -> list[Any]:
    """A product with a transposed weight becomes one node."""
    weights = {node.output[0]: node.input[0] for node in nodes if _is_transpose_of(node, halves)}
    fused = []
    for node in nodes:
        if node.op_type == "MatMul" and node.input[1] in weights:
            inputs = [node.input[0], weights[node.input[1]]]
            node = helper.make_node("FusedMatMul", inputs, node.output, node.name, domain=CONTRIB, transB=1)
        fused.append(node)
    read = {name for node in fused for name in node.input}
    return [node for node in fused if node.output[0] not in weights or node.output[0] in read]


def _is_transpose_of(node: Any, weights: Mapping[str, str]) -> bool:
    return (
        node.op_type == "Transpose"
        and node.input[0] in weights
        and list(helper.get_node_attr_value(node, "perm")) == [1, 0]
    )


def _look_up_in_half(nodes: list[Any], halves: Mapping[str, str]) -> list[Any]:
    found: list[Any] = []
    for node in nodes:
        if node.op_type == "Gather" and node.input[0] in halves:
            output = node.output[0]
            node.input[0], node.output[0] = halves[node.input[0]], f"{output}.half"
            found += [node, _cast(f"{output}.half", output)]
        else:
            found.append(node)
    return found


def _cast(half: str, name: str) -> Any:
    return helper.make_node("Cast", [half], [name], f"{name}.cast", to=TensorProto.FLOAT)
