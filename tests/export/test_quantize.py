"""Linear layers in eight bits against the same integers multiplied out by numpy."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from showtell.export.quantize import INPUT_MAX, WEIGHT_MAX, quantize, quantize_weight
from showtell.export.rewrite import use_weights
from showtell.export.weights import Entry, write_weights

RANDOM = np.random.default_rng(0)
WEIGHT = (RANDOM.normal(size=(48, 64)) * RANDOM.uniform(0.01, 3, (48, 1))).astype(np.float16)
"""[out, in], with one output of zeros."""
WEIGHT[5] = 0
BIAS = RANDOM.normal(size=48).astype(np.float32)


def nodes_of(kind: str) -> tuple[list[Any], list[Any]]:
    """The nodes of one linear layer, as torch exports it, and its small constants."""
    if kind == "gemm":
        node = helper.make_node("Gemm", ["x", "w", "bias"], ["y"], transB=1)
        return [node], [numpy_helper.from_array(BIAS, "bias")]
    if kind == "in_out":
        return [helper.make_node("MatMul", ["x", "w"], ["y"])], []
    transpose = helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0])
    return [transpose, helper.make_node("MatMul", ["x", "wt"], ["y"])], []


def write_graphs(folder: Path, kind: str) -> None:
    weight = np.ascontiguousarray(WEIGHT.T) if kind == "in_out" else WEIGHT
    entry = Entry("weight", "float16", weight.shape, lambda: weight)
    offsets = write_weights(folder / "model.safetensors", [entry])
    nodes, constants = nodes_of(kind)
    shape, output = (["B", 64], ["B", 48]) if kind == "gemm" else (["B", "T", 64], ["B", "T", 48])
    inputs, outputs = ([helper.make_tensor_value_info(n, 1, s)] for n, s in (("x", shape), ("y", output)))
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    use_weights(proto, {"w": entry}, offsets)
    for name in ("encoder.onnx", "decoder.onnx"):
        (folder / name).write_bytes(proto.SerializeToString())


def run(folder: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(folder / "encoder.onnx"))
    output: np.ndarray = session.run(None, {"x": x})[0]
    return output


def by_hand(x: np.ndarray) -> np.ndarray:
    """In float64, from integers that are rounded as ONNX rounds: to even."""
    exact = WEIGHT.astype(np.float64)
    weight_scale = np.maximum(abs(exact).max(1) / WEIGHT_MAX, 1e-30)
    integers = np.rint(exact / weight_scale[:, None])
    input_scale = np.maximum(abs(x).max(-1, keepdims=True).astype(np.float64) / INPUT_MAX, 1e-30)
    product: np.ndarray = np.rint(x / input_scale) @ integers.T * input_scale * weight_scale
    return product


@pytest.mark.parametrize("kind", ["out_in", "in_out", "gemm"])
def test_a_linear_layer_is_a_product_of_integers_and_scales(tmp_path: Path, kind: str) -> None:
    write_graphs(tmp_path, kind)
    x = (RANDOM.normal(size=(3, 5, 64)) * 10.0 ** RANDOM.integers(-3, 3, (3, 5, 1))).astype(np.float32)
    x[0, 0] = 0
    x = x[:, 0] if kind == "gemm" else x
    full = run(tmp_path, x)
    exact = x.astype(np.float64) @ WEIGHT.T.astype(np.float64) + (BIAS if kind == "gemm" else 0)
    np.testing.assert_allclose(full, exact, rtol=1e-5, atol=1e-4 * abs(exact).max())
    quantize(tmp_path)
    found, expected = run(tmp_path, x), by_hand(x) + (BIAS if kind == "gemm" else 0)
    # An input that is half-way between two integers may go either way in float32: one step of it times a weight.
    step = abs(x).max(-1, keepdims=True) / INPUT_MAX * abs(WEIGHT.astype(np.float64)).max(1)
    assert (abs(found - expected) <= step * 1.01 + 1e-5 * abs(expected)).all()
    assert np.median(abs(found - expected) / (abs(expected) + 1e-9)) < 1e-5
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("decoder.onnx", "decoder.onnx.data", "encoder.onnx", "encoder.onnx.data")
    ]


def test_two_products_never_exceed_16_bits() -> None:
    """x86 CPUs without VNNI add two of them in 16 bits, and cut off what is more."""
    integers, scales = quantize_weight(RANDOM.normal(size=(64, 48)).astype(np.float32), False)
    assert integers.dtype == np.int8 and abs(integers.astype(int)).max() == WEIGHT_MAX
    assert 2 * 255 * int(abs(integers.astype(int)).max()) < 2**15 and scales.shape == (48,)


def test_an_input_is_quantised_once(tmp_path: Path) -> None:
    """As that of query, key and value."""
    entries = [Entry(f"w{i}", "float16", (64, 64), lambda: np.ones((64, 64), np.float16)) for i in range(3)]
    offsets = write_weights(tmp_path / "model.safetensors", entries)
    nodes = [helper.make_node("MatMul", ["x", f"w{i}"], [f"y{i}"]) for i in range(3)]
    value = helper.make_tensor_value_info
    outputs = [value(f"y{i}", 1, ["B", 64]) for i in range(3)]
    graph = helper.make_graph(nodes, "graph", [value("x", 1, ["B", 64])], outputs)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    use_weights(proto, {entry.name: entry for entry in entries}, offsets)
    for name in ("encoder.onnx", "decoder.onnx"):
        (tmp_path / name).write_bytes(proto.SerializeToString())
    quantize(tmp_path)
    kinds = [node.op_type for node in onnx.load(tmp_path / "encoder.onnx").graph.node]
    assert kinds.count("QuantizeLinear") == 1 and kinds.count("MatMulIntegerToFloat") == 3
    np.testing.assert_allclose(run(tmp_path, np.ones((2, 64), np.float32)), 64, rtol=1e-6)
