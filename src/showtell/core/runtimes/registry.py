"""The runtimes by name, and what of them this machine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from showtell.core.runtimes.runner import GraphRunner
from showtell.errors import BadConfig

Load = Callable[[Path, int], GraphRunner]
"""From a graph's file and a number of threads (0: all cores)."""


@dataclass(frozen=True)
class Runtime:
    name: str
    load_encoder: Load
    load_decoder: Load
    is_here: Callable[[], bool]
    """Whether this machine can run it."""
    is_float32: bool = True
    """Else words may differ from those of float32, here and there."""


def _onnxruntime(path: Path, threads: int) -> GraphRunner:
    from showtell.core.runtimes.onnx_runtime import OnnxRuntimeGraph

    return OnnxRuntimeGraph(path, threads)


def _cuda(path: Path, threads: int) -> GraphRunner:
    from showtell.core.runtimes.onnx_runtime import OnnxRuntimeGraph, has_cuda

    if not has_cuda():
        raise BadConfig(f"runtime {CUDA}: this ONNX Runtime has no CUDA; {INSTALL_CUDA}")
    return OnnxRuntimeGraph(path, threads, "cuda")


def _openvino(path: Path, threads: int) -> GraphRunner:
    from showtell.core.runtimes.openvino import OpenVinoGraph

    return OpenVinoGraph(path, threads, "f32")


def _openvino_bf16(path: Path, threads: int) -> GraphRunner:
    from showtell.core.runtimes.openvino import OpenVinoGraph, has_bfloat16

    if not has_bfloat16():
        raise BadConfig(f"runtime {OPENVINO_BF16}: this processor has no bfloat16; expected openvino, or onnxruntime")
    return OpenVinoGraph(path, threads, "bf16")


def _has_cuda() -> bool:
    from showtell.core.runtimes.onnx_runtime import has_cuda

    return has_cuda()


def _has_openvino() -> bool:
    from importlib.util import find_spec

    return find_spec("openvino") is not None


def _has_openvino_bf16() -> bool:
    from showtell.core.runtimes.openvino import has_bfloat16

    return _has_openvino() and has_bfloat16()


DEFAULT: Final = "onnxruntime"
OPENVINO_BF16: Final = "openvino-bf16"
CUDA: Final = "cuda"
INSTALL_CUDA: Final = (
    "run: pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]' (both have one "
    "folder, and one hides the other)"
)
AUTO: Final = "auto"
RUNTIMES: Final = {
    runtime.name: runtime
    for runtime in (
        Runtime(DEFAULT, _onnxruntime, _onnxruntime, lambda: True),
        Runtime("openvino", _openvino, _onnxruntime, _has_openvino),
        Runtime(OPENVINO_BF16, _openvino_bf16, _onnxruntime, _has_openvino_bf16, is_float32=False),
        Runtime(CUDA, _cuda, _cuda, _has_cuda),
    )
}


def find_runtime(name: str) -> Runtime:
    """Raises BadConfig for a name that there is none of."""
    if not isinstance(name, str) or name not in RUNTIMES:
        raise BadConfig(f"found runtime {name!r}; expected {', '.join(RUNTIMES)} or {AUTO}")
    return RUNTIMES[name]
