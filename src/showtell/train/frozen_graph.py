"""The frozen stages as a graph that an inference runtime computes, which is faster than torch on a CPU.

They are computed for every photo and view before training begins, which takes longer than the first epochs.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim

from showtell.core.runtimes.registry import DEFAULT, OPENVINO_BF16, RUNTIMES
from showtell.core.runtimes.runner import GraphRunner
from showtell.nets.encoder import Encoder

WORTH_IT = 500
"""Photos, counted once for each view, from which on the graph pays: its export takes some ten seconds."""
RunFrozen = Callable[[NDArray[Any]], NDArray[Any]]
"""Pixels [B, 3, H, W] -> `Encoder.forward_frozen`, float32."""


def uses_bfloat16(precision: str) -> bool:
    """Whether features are computed in bfloat16: where training is, and a runtime here can."""
    return precision == "bf16-mixed" and RUNTIMES[OPENVINO_BF16].is_here()


def pays(encoder: Encoder, photos: int) -> bool:
    """Whether a graph is to compute the frozen stages of so many photos: on a CPU, and not for few."""
    is_on_cpu = next(encoder.parameters()).device.type == "cpu"
    return is_on_cpu and photos >= WORTH_IT and len(encoder.frozen) > 0


@contextlib.contextmanager
def frozen_stages(encoder: Encoder, by_graph: bool, bfloat16: bool) -> Iterator[RunFrozen]:
    """How to compute the frozen stages: by a runtime, or by torch."""
    device = next(encoder.parameters()).device
    if not by_graph:
        yield lambda pixels: _by_torch(encoder, torch.from_numpy(pixels).to(device))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frozen.onnx"
        _export(encoder, path)
        graph: GraphRunner = RUNTIMES[OPENVINO_BF16 if bfloat16 else DEFAULT].load_encoder(path, 0)
        yield lambda pixels: graph.numpy(graph.run({"pixels": graph.tensor(pixels)}, ["features"])["features"])


@torch.inference_mode()
def _by_torch(encoder: Encoder, pixels: Tensor) -> NDArray[Any]:
    features: NDArray[Any] = encoder.forward_frozen(pixels).float().cpu().numpy()
    return features


class _Frozen(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, *cached_shape]"""
        return self.encoder.forward_frozen(pixels)


def _export(encoder: Encoder, path: Path) -> None:
    size = encoder.pixels.size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, which a user cannot act on
        program = torch.onnx.export(
            _Frozen(encoder).eval(),
            (torch.zeros(2, 3, size, size),),
            input_names=["pixels"],
            output_names=["features"],
            dynamic_shapes=({0: Dim("B")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=True)
