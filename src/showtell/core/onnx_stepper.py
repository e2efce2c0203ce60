"""A bundle's two ONNX graphs as a Stepper; the only place that knows ONNX Runtime.

    encoder.onnx   pixels [B, 3, H, W]                       -> memory.* [B, ...]
    decoder.onnx   tokens [B, K], memory.*, state.* [B, K, ...]  -> log_probs, attention, next.*

Both may have their weights in other files of the same folder, which ONNX Runtime finds by itself.

A forked process has none of the threads of ONNX Runtime: there a session must neither be used nor destroyed, which
would wait for them. Each graph is therefore loaded again on its first use in another process. Rejected: comparing
`os.getpid()` before each run, which does not save a child that ends without a caption.

The initial state is the memory of the same name (`state.hidden` is `memory.hidden`) or, where there is none, an empty
cache: its dynamic length is 0.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from showtell.core.bundle import EXTERNAL
from showtell.core.stepper import Floats, Ids, Step
from showtell.errors import BadBundle

ENCODER_BATCH = 4
"""Images in one run of the encoder. Its first layers take some 25 MB for each, so that 32 at once would need 1.7 GB;
and what fits the processor's cache runs faster: 4 beat 8 and 16 (`benchmarks/throughput.py`)."""

Arrays = dict[str, NDArray[Any]]


class State(NamedTuple):
    memory: Arrays
    rows: Arrays


class OnnxStepper:
    def __init__(self, encoder: Path, decoder: Path, threads: int = 0) -> None:
        """`threads`: how many the network uses; 0: all cores. Raises BadBundle when a graph cannot be loaded."""
        self._arguments = encoder.absolute(), decoder.absolute(), threads
        self._encoder, self._decoder = _Graph(encoder, threads), _Graph(decoder, threads)
        self._memory_names = [output.name for output in self._encoder.session.get_outputs()]
        inputs = {i.name: i.shape for i in self._decoder.session.get_inputs()}
        self._decoder_memory = [name for name in inputs if name.startswith("memory.")]
        self._state_shapes = {name: shape for name, shape in inputs.items() if name.startswith("state.")}
        self._outputs = [output.name for output in self._decoder.session.get_outputs()]
        missing = [name for name in self._decoder_memory if name not in self._memory_names]
        if missing or "tokens" not in inputs or "log_probs" not in self._outputs:
            name = missing[0] if missing else "tokens or log_probs"
            raise BadBundle(f"{decoder}: {name} does not fit {encoder.name}; export the model again")
        self.vocab_size = next(o.shape[2] for o in self._decoder.session.get_outputs() if o.name == "log_probs")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its files, and loaded from them again."""
        return OnnxStepper, self._arguments

    @property
    def threads(self) -> int:
        return self._arguments[2]

    def encode(self, pixels: Floats) -> Arrays:
        memory: Arrays = {}
        for begin in range(0, len(pixels), ENCODER_BATCH):
            block = self._encoder.session.run(None, {"pixels": pixels[begin : begin + ENCODER_BATCH]})
            for name, array in zip(self._memory_names, block, strict=True):
                if begin == 0:  # Rejected: joining the blocks at the end, which has everything in memory twice
                    memory[name] = np.empty((len(pixels), *array.shape[1:]), array.dtype)
                memory[name][begin : begin + len(array)] = array
        return memory

    def init_state(self, memory: Arrays) -> State:
        batch = len(memory[self._memory_names[0]])
        rows: Arrays = {}
        for name, shape in self._state_shapes.items():
            initial = memory.get(name.replace("state.", "memory.", 1))
            if initial is not None:
                rows[name] = initial[:, None]
            else:
                lengths = [n if isinstance(n, int) else 0 for n in shape[2:]]
                rows[name] = np.zeros((batch, 1, *lengths), np.float32)
        return State(memory, rows)

    def step(self, tokens: Ids, state: State) -> Step:
        feed = {"tokens": tokens, **{name: state.memory[name] for name in self._decoder_memory}, **state.rows}
        results = dict(zip(self._outputs, self._decoder.session.run(None, feed), strict=True))
        rows = {name: results[name.replace("state.", "next.", 1)] for name in self._state_shapes}
        return Step(results["log_probs"], State(state.memory, rows), results.get("attention"))

    def reorder(self, state: State, images: Ids, beams: Ids) -> State:
        none_left = len(images) == len(next(iter(state.memory.values())))
        memory = state.memory if none_left else {name: array[images] for name, array in state.memory.items()}
        return State(memory, {name: array[images[:, None], beams] for name, array in state.rows.items()})


class _Graph:
    """A file and its session in this process."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path, self._threads = path.absolute(), threads
        self._version, self._session = _version(path), _session(path, threads)
        _graphs.add(self)

    @property
    def session(self) -> Any:
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


_graphs: weakref.WeakSet[_Graph] = weakref.WeakSet()


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
