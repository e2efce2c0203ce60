"""ONNX Runtime on the processor.

A forked process has none of the threads of ONNX Runtime: there a session must neither be used nor destroyed, which
would wait for them. Each graph is therefore loaded again on its first use in another process. Rejected: comparing
`os.getpid()` before each run, which does not save a child that ends without a caption.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from showtell.core.bundle import EXTERNAL
from showtell.core.runtimes.runner import Shape
from showtell.errors import BadBundle


class OnnxRuntimeGraph:
    """A file and its session in this process. Tensors are OrtValues, which share their memory with numpy."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises BadBundle when the graph cannot be loaded."""
        self._path, self._threads = path.absolute(), threads
        self._version, self._session = _version(path), _session(path, threads)
        self.inputs: Mapping[str, Shape] = {value.name: tuple(value.shape) for value in self._session.get_inputs()}
        self.outputs: Mapping[str, Shape] = {value.name: tuple(value.shape) for value in self._session.get_outputs()}
        _graphs.add(self)

    def tensor(self, array: NDArray[Any]) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))

    def run(self, feed: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        return dict(zip(names, self._loaded().run_with_ort_values(list(names), dict(feed)), strict=True))

    def numpy(self, tensor: Any) -> NDArray[Any]:
        array: NDArray[Any] = tensor.numpy()
        return array

    def gather(self, tensor: Any, indices: NDArray[np.int64]) -> Any:
        return self.tensor(self.numpy(tensor)[indices])

    def _loaded(self) -> Any:
        """Loaded again after a fork. Raises BadBundle where the file has changed since."""
        session = self._session
        if session is None:
            if _version(self._path) != self._version:
                raise BadBundle(f"{self._path}: has changed since the captioner was loaded; load it again")
            session = self._session = _session(self._path, self._threads)
        return session

    def abandon(self) -> None:
        """Without destroying the session, not even at the end of the process: its reference count is never 0."""
        if self._session is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self._session = None


_graphs: weakref.WeakSet[OnnxRuntimeGraph] = weakref.WeakSet()


def _abandon_all() -> None:
    for graph in list(_graphs):
        graph.abandon()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_abandon_all)


def _version(path: Path) -> list[tuple[int, int] | None]:
    """Changes when the graph or a file of its weights is written; None stands for a file that is not there."""
    versions: list[tuple[int, int] | None] = []
    for file in (path, *(path.with_name(name) for name in EXTERNAL)):
        try:
            status = file.stat()
            versions.append((status.st_size, status.st_mtime_ns))
        except OSError:
            versions.append(None)
    return versions


def _session(path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # With a memory plan for each shape of the inputs, a model of BLIP's size takes 1,400 MB in place of 1,320 for one
    # photo, and 3,990 in place of 2,970 for 16, at the same speed.
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        first = str(error).splitlines()[0]
        # ONNX Runtime follows a link to weights only into the folder that the graph is in.
        has_link = any(path.with_name(name).is_symlink() for name in EXTERNAL)
        advice = "replace links to its weights by the files themselves" if has_link else "export the model again"
        raise BadBundle(f"{path}: ONNX Runtime cannot load it ({first}); {advice}") from error
