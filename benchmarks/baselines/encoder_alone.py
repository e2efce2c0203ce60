"""The encoder alone, on pixels that are decoded already, in the runtimes that there are: the physical limit of whatever
writes captions with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 4
"""What fits the caches is fastest: 4 beats 8 and 16 in ONNX Runtime."""
RUNTIMES = ("onnxruntime float32", "openvino float32", "openvino bfloat16")


def runner(graph: Path, runtime: str, threads: int) -> Callable[[np.ndarray[Any, Any]], None]:
    """A function that encodes pixels [N, 3, H, W]."""
    if runtime.startswith("onnxruntime"):
        return _onnxruntime(graph, threads)
    return _openvino(graph, threads, {"float32": "f32", "bfloat16": "bf16"}[runtime.split()[1]])


def _onnxruntime(graph: Path, threads: int) -> Callable[[np.ndarray[Any, Any]], None]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(pixels: np.ndarray[Any, Any]) -> None:
        for begin in range(0, len(pixels), BATCH):
            session.run(None, {"pixels": pixels[begin : begin + BATCH]})

    return run


def _openvino(graph: Path, threads: int, precision: str) -> Callable[[np.ndarray[Any, Any]], None]:
    """Several batches at once, as its documentation advises for throughput."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": precision,
    }
    queue = openvino.AsyncInferQueue(openvino.Core().compile_model(str(graph), "CPU", settings))

    def run(pixels: np.ndarray[Any, Any]) -> None:
        for begin in range(0, len(pixels), BATCH):
            queue.start_async({"pixels": pixels[begin : begin + BATCH]})
        queue.wait_all()

    return run
