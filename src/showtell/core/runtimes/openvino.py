"""OpenVINO on the processor, for encoders.

Rejected for decoders: their states grow with every token, and OpenVINO prepares its kernels for each new shape.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from showtell.core.runtimes.after_fork import Loaded
from showtell.core.runtimes.runner import Shape, failed_run, first_line
from showtell.errors import BadBundle, MissingExtra

Precision = Literal["f32", "bf16"]


class OpenVinoGraph:
    """A file, compiled for this processor. Tensors are numpy arrays."""

    def __init__(self, path: Path, threads: int, precision: Precision) -> None:
        """Raises BadBundle when the graph cannot be loaded, MissingExtra without OpenVINO."""
        self._compiled = Loaded(path.absolute(), partial(_compile, path.absolute(), threads, precision))
        self._requests = threading.local()
        compiled = self._compiled.get()
        self.inputs: Mapping[str, Shape] = {port.get_any_name(): _shape(port) for port in compiled.inputs}
        self.outputs: Mapping[str, Shape] = {port.get_any_name(): _shape(port) for port in compiled.outputs}

    def tensor(self, array: NDArray[Any]) -> Any:
        return np.ascontiguousarray(array)

    def run(self, feed: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        compiled = self._compiled.get()
        if getattr(self._requests, "compiled", None) is not compiled:  # a thread's first, or after a fork
            self._requests.compiled, self._requests.request = compiled, compiled.create_infer_request()
        request = self._requests.request
        try:
            request.infer(dict(feed), share_inputs=True)
        except Exception as error:
            raise failed_run("OpenVINO", error) from error
        # Copied: the next run writes into the same memory.
        return {name: request.get_tensor(name).data.copy() for name in names}

    def numpy(self, tensor: Any) -> NDArray[Any]:
        array: NDArray[Any] = tensor
        return array

    def gather(self, tensor: Any, indices: NDArray[np.int64]) -> Any:
        return tensor[indices]


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself. Raises MissingExtra without OpenVINO."""
    return "BF16" in _library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _library() -> Any:
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtra("openvino", "openvino") from error
    return openvino


def _compile(path: Path, threads: int, precision: Precision) -> Any:
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    library = _library()
    try:
        return library.Core().compile_model(str(path), "CPU", options)
    except Exception as error:
        raise BadBundle(f"{path}: OpenVINO cannot load it ({first_line(error)}); use --runtime onnxruntime") from error


def _shape(port: Any) -> Shape:
    return tuple(None if size.is_dynamic else size.get_length() for size in port.get_partial_shape())
