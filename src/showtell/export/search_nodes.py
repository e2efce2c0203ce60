"""What a search needs around a decoder's step, inside the graph (`core/onnx_stepper` describes its inputs).

    before   each state [B', K', ...] of the step before -> those of `rows`, [B, K, ...]
    after    log-probabilities [B, K, V]                 -> the `best` N of each row and their ids, [B, K, N]

Both are made of ONNX's own nodes here: torch.export cannot leave the number of TopK open. Rejected: states of flat rows
[B*K, ...], which a Gather reads somewhat faster. A graph that returns what it reshapes copies it, and that took a tenth
of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import TensorProto, helper


def add_search(proto: Any, batch: str, beams: str) -> None:
    """`batch`, `beams`: the names of the dimensions of `tokens`."""
    graph = proto.graph
    states = [value for value in graph.input if value.name.startswith("state.")]
    reads = {state.name: f"{state.name}.rows" for state in states}
    for node in graph.node:
        node.input[:] = [reads.get(name, name) for name in node.input]
    lookups = [helper.make_node("GatherND", [name, "rows"], [read], read) for name, read in reads.items()]
    best = helper.make_node("TopK", ["log_probs", "best"], ["best_log_probs", "best_tokens"], "best", axis=-1)
    nodes = [*lookups, *graph.node, best]
    del graph.node[:]
    graph.node.extend(nodes)
    for state in states:
        for dim, name in zip(state.type.tensor_type.shape.dim, (batch, beams), strict=False):
            dim.dim_param = f"{name} before"
    added = [_value("rows", TensorProto.INT64, [batch, beams, 2]), _value("best", TensorProto.INT64, [1])]
    inputs = [graph.input[0], *added, *graph.input[1:]]
    del graph.input[:]
    graph.input.extend(inputs)
    shape = [batch, beams, "N"]
    graph.output.extend(
        [_value("best_log_probs", TensorProto.FLOAT, shape), _value("best_tokens", TensorProto.INT64, shape)]
    )


def _value(name: str, kind: int, shape: Sequence[int | str]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)
