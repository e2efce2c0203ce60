"""What a search needs around a decoder's step, inside the graph (`core/onnx_stepper` describes its inputs).

    before   each state [R', ...] of the step before -> its `rows` [B, K, ...]
    after    log-probabilities [B, K, V]             -> the `best` N of each row and their ids, [B, K, N]

Both are made of ONNX's own nodes here. torch.export would turn an index of two dimensions into several nodes more, and
cannot leave the number of TopK open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import TensorProto, helper


def add_search(proto: Any, batch: str, beams: str, rows: str = "R") -> None:
    """`batch`, `beams`: the names of the dimensions of `tokens`; `rows`: what that of a state's rows is to be called.

    The graph's states are [B, K, ...] as it reads them, and already [R, ...] as it returns them.
    """
    graph = proto.graph
    states = [value for value in graph.input if value.name.startswith("state.")]
    reads = {state.name: f"{state.name}.rows" for state in states}
    for node in graph.node:
        node.input[:] = [reads.get(name, name) for name in node.input]
    gathers = [helper.make_node("Gather", [name, "rows"], [read], read, axis=0) for name, read in reads.items()]
    best = helper.make_node("TopK", ["log_probs", "best"], ["best_log_probs", "best_tokens"], "best", axis=-1)
    nodes = [*gathers, *graph.node, best]
    del graph.node[:]
    graph.node.extend(nodes)
    for state in states:
        _replace_dims(state, [rows, *_dims(state)[2:]])
    for output in graph.output:
        if output.name.startswith("next."):
            _replace_dims(output, [f"{rows} after", *_dims(output)[1:]])
    added = [_value("rows", TensorProto.INT64, [batch, beams]), _value("best", TensorProto.INT64, [1])]
    inputs = [graph.input[0], *added, *graph.input[1:]]
    del graph.input[:]
    graph.input.extend(inputs)
    shape = [batch, beams, "N"]
    graph.output.extend(
        [_value("best_log_probs", TensorProto.FLOAT, shape), _value("best_tokens", TensorProto.INT64, shape)]
    )


def _value(name: str, kind: int, shape: Sequence[int | str]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _dims(value: Any) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _replace_dims(value: Any, dims: Sequence[int | str]) -> None:
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(_value(value.name, kind, dims))
