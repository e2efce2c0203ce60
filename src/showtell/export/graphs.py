"""A trained model as two ONNX graphs, and one file of their weights in half precision.

Half precision is for the disk only: each large tensor is followed by a Cast, which ONNX Runtime folds away when it
loads the graph, so that all arithmetic stays float32. The weights are external data of both graphs (`rewrite`), in a
file that training can read, too (`weights`): so tied weights are there once, and no size is too large for a graph.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from onnxscript import optimizer
from torch import Tensor, nn
from torch.export import Dim

from showtell.core.bundle import WEIGHTS
from showtell.core.stepper import POOLED
from showtell.export.rewrite import use_weights
from showtell.export.search_nodes import add_search
from showtell.export.weights import (
    SMALL,
    Entry,
    constant_entry,
    is_same,
    state_entries,
    to_stored,
    write_weights,
)
from showtell.files import replacing
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.decoder import Decoder

BATCH, BEAMS = "B", "K"
"""The names of the decoder's dynamic dimensions."""


class EncoderGraph(nn.Module):
    """Pixels [B, 3, H, W] -> the decoder's memory, and pooled features [B, C], the mean of the regions but the tags."""

    def __init__(self, model: CaptioningModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        encoder, decoder = self.model.encoder, self.model.decoder
        regions = encoder(pixels)
        return *decoder.encode_memory(regions).values(), regions[:, encoder.num_tags :].mean(1)


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
    """Round in place the weights that are stored in half precision, so that parity is checked with those of the bundle.

    Raises ExportMismatch where one is too large for it.
    """
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.copy_(to_stored(tensor))


def export_graphs(model: CaptioningModel, size: int, folder: Path) -> None:
    """Write `encoder.onnx`, `decoder.onnx` and `model.safetensors`, which has the weights of both; `size` is the height
    and width of the pixels.

    Weights are copied one at a time, from the model to the file. The same model gives the same files.
    """
    model.eval()
    entries = state_entries(model)
    graphs = [_encoder_graph(model, size), _decoder_graph(model, size)]
    stored = [_take_weights(graph, entries) for graph in graphs]
    offsets = write_weights(folder / WEIGHTS, entries.values())
    for graph, weights in zip(graphs, stored, strict=True):
        proto = graph.program.model_proto
        _strip_metadata(proto)
        use_weights(proto, weights, offsets)
        if graph.file == "decoder.onnx":
            add_search(proto, BATCH, BEAMS)
        path = folder / graph.file
        with replacing(path) as temporary:
            temporary.write_bytes(proto.SerializeToString())
        onnx.checker.check_model(str(path))


class _Graph(NamedTuple):
    file: str
    program: Any
    """torch.onnx.ONNXProgram; its weights are the model's tensors and no copies."""
    prefix: str
    """What its names of weights have in front of those of the model's state dict."""


def _encoder_graph(model: CaptioningModel, size: int) -> _Graph:
    # Example sizes differ from each other and from 0 and 1, which torch.export would treat as constants.
    pixels = torch.zeros(2, 3, size, size)
    with torch.no_grad():
        outputs = [*(f"memory.{name}" for name in model.encode(pixels)), POOLED]
    program = _export(EncoderGraph(model), (pixels,), ["pixels"], outputs, ({0: Dim("B")},))
    return _Graph("encoder.onnx", program, "model.")


def _decoder_graph(model: CaptioningModel, size: int) -> _Graph:
    decoder = model.decoder
    tokens = torch.zeros(2, 3, dtype=torch.long)
    with torch.no_grad():
        memory = model.encode(torch.zeros(2, 3, size, size))
        state = {name: row.expand(-1, 3, *row.shape[2:]) for name, row in decoder.init_state(memory).items()}
        _, state, _ = decoder.step(tokens, memory, state)
        _, state, attention = decoder.step(tokens, memory, state)
    batch, beams = Dim(BATCH), Dim(BEAMS)
    lengths = {name: {0: batch, 1: beams, **_cache_dims(decoder, name)} for name in state}
    program = _export(
        DecoderGraph(decoder, list(memory), list(state)),
        (tokens, list(memory.values()), list(state.values())),
        ["tokens", *(f"memory.{name}" for name in memory), *(f"state.{name}" for name in state)],
        ["log_probs", *([] if attention is None else ["attention"]), *(f"next.{name}" for name in state)],
        ({0: batch, 1: beams}, [{0: batch} for _ in memory], [lengths[name] for name in state]),
    )
    return _Graph("decoder.onnx", program, "")


def _cache_dims(decoder: Decoder, name: str) -> dict[int, Any]:
    """The dynamic dimensions of a state tensor that grow with the number of tokens."""
    return {dimension: Dim("T") for dimension in decoder.cache_axes.get(name, ())}


def _export(graph: nn.Module, args: tuple[Any, ...], inputs: list[str], outputs: list[str], dims: Any) -> Any:
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
    # Small constants are folded, weights are not: stored are the tensors that torch has, and ONNX Runtime folds the
    # rest when it loads the graph, in single precision. Batch norms are not merged into convolutions, as
    # `optimize=True` would: merged weights are no longer those that torch rounded, and rounding them again moves
    # log-probabilities by 3e-3.
    optimizer.fold_constants(program.model, output_size_limit=SMALL, should_fold=_reads_no_weight)
    optimizer.remove_unused_nodes(program.model)
    return program


def _reads_no_weight(node: Any) -> bool | None:
    """False for nodes that are not to be folded, None for those that the optimiser decides on."""
    constants = (value.const_value for value in node.inputs if value is not None)
    return False if any(tensor is not None and tensor.size >= SMALL for tensor in constants) else None


def _take_weights(graph: _Graph, entries: dict[str, Entry]) -> dict[str, Entry]:
    """Take the large initialisers out of the graph; returns where each is stored, by its name.

    Those that are no weights, such as sinusoids, are added to `entries`, once for both graphs.
    """
    stored = {}
    for name, value in list(graph.program.model.graph.initializers.items()):
        if value.const_value.size < SMALL:
            continue
        entry = entries.get(name.removeprefix(graph.prefix))
        if entry is None:
            constant = constant_entry(f"{graph.file}/{name.removeprefix(graph.prefix)}", value.const_value.numpy())
            entry = next((other for other in entries.values() if is_same(other, constant)), constant)
            entries[entry.name] = entry
        stored[name] = entry
        del graph.program.model.graph.initializers[name]
    return stored


def _strip_metadata(proto: Any) -> None:
    """Remove the exporter's metadata, which has source paths of the exporting machine."""
    graph = proto.graph
    for part in [proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""
