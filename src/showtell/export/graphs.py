"""A trained model as two ONNX graphs with weights stored in half precision.

Half precision is for the disk only: each large tensor is a float16 initialiser followed by a Cast, which ONNX Runtime
folds away when it loads the graph, so that all arithmetic stays float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxscript import optimizer
from torch import Tensor, nn
from torch.export import Dim

from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.decoder import Decoder

SMALL = 1024
"""Tensors of fewer elements (biases, norms, constants) stay float32."""


class EncoderGraph(nn.Module):
    """Pixels [B, 3, H, W] -> the decoder's memory."""

    def __init__(self, model: CaptioningModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.encode(pixels).values())


class DecoderGraph(nn.Module):
    """Tokens [B, K], memory and state -> log-probabilities [B, K, V], attention [B, K, S], the next state."""

    def __init__(self, decoder: Decoder, memory_names: Sequence[str], state_names: Sequence[str]) -> None:
        super().__init__()
        self.decoder, self.memory_names, self.state_names = decoder, memory_names, state_names

    def forward(self, tokens: Tensor, memory: Sequence[Tensor], state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        logits, next_state, attention = self.decoder.step(
            tokens, dict(zip(self.memory_names, memory, strict=True)), dict(zip(self.state_names, state, strict=True))
        )
        weights = () if attention is None else (attention,)
        return (logits.log_softmax(-1), *weights, *(next_state[name] for name in self.state_names))


def round_to_half(model: nn.Module) -> None:
    """Round in place the weights that the graphs store in half precision, so that parity is checked with those of the
    bundle."""
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point() and tensor.numel() >= SMALL:
                tensor.copy_(tensor.half().float())


def export_graphs(model: CaptioningModel, size: int, folder: Path) -> None:
    """Write `encoder.onnx` and `decoder.onnx`; `size` is the height and width of the pixels."""
    model.eval()
    # Example sizes differ from each other and from 0 and 1, which torch.export would treat as constants.
    pixels = torch.zeros(2, 3, size, size)
    with torch.no_grad():
        memory = model.encode(pixels)
        state = {name: row.expand(-1, 3, *row.shape[2:]) for name, row in model.decoder.init_state(memory).items()}
        _, state, _ = model.decoder.step(torch.zeros(2, 3, dtype=torch.long), memory, state)
        _, state, attention = model.decoder.step(torch.zeros(2, 3, dtype=torch.long), memory, state)
    batch, beams = Dim("B"), Dim("K")
    _export(
        EncoderGraph(model),
        (pixels,),
        folder / "encoder.onnx",
        ["pixels"],
        [f"memory.{name}" for name in memory],
        ({0: batch},),
    )
    lengths = {name: {0: batch, 1: beams, **_cache_dims(model.decoder, name)} for name in state}
    _export(
        DecoderGraph(model.decoder, list(memory), list(state)),
        (torch.zeros(2, 3, dtype=torch.long), list(memory.values()), list(state.values())),
        folder / "decoder.onnx",
        ["tokens", *(f"memory.{name}" for name in memory), *(f"state.{name}" for name in state)],
        ["log_probs", *([] if attention is None else ["attention"]), *(f"next.{name}" for name in state)],
        ({0: batch, 1: beams}, [{0: batch} for _ in memory], [lengths[name] for name in state]),
    )


def _cache_dims(decoder: Decoder, name: str) -> dict[int, Any]:
    """The dynamic dimensions of a state tensor that grow with the number of tokens."""
    return {dimension: Dim("T") for dimension in decoder.cache_axes.get(name, ())}


def _export(
    graph: nn.Module, args: tuple[Any, ...], path: Path, inputs: list[str], outputs: list[str], dims: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, which a user cannot act on
        program = torch.onnx.export(
            graph.eval(),
            args,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dims,
            dynamo=True,
            verbose=False,
            optimize=False,
        )
    assert program is not None
    # Constants are folded but batch norms are not merged into convolutions, as `optimize=True` would: merged weights
    # are no longer those that torch rounded, and rounding them again moves log-probabilities by 3e-3. ONNX Runtime
    # merges them when it loads the graph, in single precision.
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    proto = program.model_proto
    _strip_metadata(proto)
    _store_in_half(proto.graph)
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString())


def _strip_metadata(proto: Any) -> None:
    """Remove the exporter's metadata, which has source paths of the exporting machine."""
    graph = proto.graph
    for part in [proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""


def _store_in_half(graph: Any) -> None:
    """Replace each large float32 initialiser by a float16 one and a Cast, at the graph's beginning."""
    casts = []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size >= SMALL:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
