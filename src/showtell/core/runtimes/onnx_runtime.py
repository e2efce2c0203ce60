"""ONNX Runtime, on the processor or on a card.

Tensors are OrtValues: on the processor they share their memory with numpy, on a card they stay there from step to step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from showtell.core.bundle import EXTERNAL
from showtell.core.runtimes.after_fork import Loaded
from showtell.core.runtimes.runner import Shape, failed_run, first_line
from showtell.errors import BadBundle, BadConfig

Device = Literal["cpu", "cuda"]
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeGraph:
    """A file and its session."""

    def __init__(self, path: Path, threads: int, device: Device = "cpu") -> None:
        """Raises BadBundle when the graph cannot be loaded."""
        self._device = device
        self._session = Loaded(path.absolute(), partial(_session, path.absolute(), threads, device))
        session = self._session.get()
        self.inputs: Mapping[str, Shape] = {value.name: tuple(value.shape) for value in session.get_inputs()}
        self.outputs: Mapping[str, Shape] = {value.name: tuple(value.shape) for value in session.get_outputs()}

    def tensor(self, array: NDArray[Any]) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)

    def run(self, feed: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        session = self._session.get()
        binding = session.io_binding()
        for name, tensor in feed.items():
            binding.bind_ortvalue_input(name, tensor)
        for name in names:
            binding.bind_output(name, self._device, 0)
        try:
            session.run_with_iobinding(binding)
        except Exception as error:
            raise failed_run("ONNX Runtime", error) from error
        return dict(zip(names, binding.get_outputs(), strict=True))

    def numpy(self, tensor: Any) -> NDArray[Any]:
        array: NDArray[Any] = tensor.numpy()
        return array

    def gather(self, tensor: Any, indices: NDArray[np.int64]) -> Any:
        return self.tensor(self.numpy(tensor)[indices])


def available_providers() -> list[str]:
    """What this ONNX Runtime was built for; a card may still be missing."""
    return list(onnxruntime.get_available_providers())


def has_cuda() -> bool:
    return PROVIDERS["cuda"] in available_providers()


def _session(path: Path, threads: int, device: Device) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # its errors are raised as well; a message has one line
    # Threads that wait for work look for it without pause, on cores that other work needs; that is ONNX
    # Runtime's default. Of 50, 200, 1000 and 5000 microseconds and none at all this was the fastest on an idle machine.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "200")
    # With a memory plan for each shape of the inputs, a model of BLIP's size takes 1,400 MB in place of 1,320 for one
    # photo, and 3,990 in place of 2,970 for 16, at the same speed.
    options.enable_mem_pattern = False
    try:
        # Without a fallback, which ONNX Runtime announces on stdout, among the captions.
        session = onnxruntime.InferenceSession(str(path), options, providers=[PROVIDERS[device]], enable_fallback=0)
    except Exception as error:
        first = first_line(error)
        if device == "cuda":
            raise BadConfig(f"runtime cuda: {first}; see that there are a card, CUDA 12 and cuDNN 9") from error
        # ONNX Runtime follows a link to weights only into the folder that the graph is in.
        has_link = any(path.with_name(name).is_symlink() for name in EXTERNAL)
        advice = "replace links to its weights by the files themselves" if has_link else "export the model again"
        raise BadBundle(f"{path}: ONNX Runtime cannot load it ({first}); {advice}") from error
    if PROVIDERS[device] not in session.get_providers():  # ONNX Runtime falls back to the processor
        raise BadConfig(
            "runtime cuda: ONNX Runtime finds no NVIDIA card, or lacks CUDA 12 or cuDNN 9; see that nvidia-smi lists a "
            "card, and run: pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    return session
