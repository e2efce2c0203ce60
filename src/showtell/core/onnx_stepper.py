"""A bundle's two ONNX graphs as a Stepper, whatever runtime runs them.

    encoder.onnx   pixels [B, 3, H, W]                               -> memory.* [B, ...], pooled [B, C]
    decoder.onnx   tokens [B, K], rows [B, K, 2], best [1],          -> log_probs [B, K, V], attention [B, K, S],
                   memory.* [B, ...], state.* [B', K', ...]             best_log_probs, best_tokens [B, K, N],
                                                                        next.* [B, K, ...]

`pooled`, the mean of the image regions, is for the reranker; models that were exported before there was one lack it.

Both may have their weights in other files of the same folder, which the runtime finds by itself.

`rows` says from which image and beam of the step before each row goes on: reordering beams, widening one row to K, and
dropping images that are finished are one lookup inside the graph, and a state never leaves the runtime. `best` is the
number N of a row's best tokens; unless a search asks for all, only those become arrays.

The initial state is the memory of the same name (`state.hidden` is `memory.hidden`) or, where there is none, an empty
cache: its dynamic length is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from showtell.core.runtimes.registry import DEFAULT, find_runtime
from showtell.core.stepper import POOLED, Floats, Ids, Step
from showtell.errors import BadBundle

ENCODER_BATCH = 4
"""Images in one run of the encoder. Its first layers take some 25 MB for each, so that 32 at once would need 1.7 GB;
and what fits the processor's cache runs faster: 4 beat 8 and 16 on an AMD EPYC."""
SEARCH: Final = ("tokens", "rows", "best")
"""Inputs of the decoder beside memory and state."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class State:
    memory: dict[str, Any]
    """Tensors `[B, ...]` of the decoder's runtime."""
    states: dict[str, Any]
    """Tensors `[B', K', ...]` of the step before."""
    rows: Ids
    """`[B, K, 2]`: the image and beam of `states` that each row goes on from."""


class OnnxStepper:
    def __init__(self, encoder: Path, decoder: Path, threads: int = 0, runtime: str = DEFAULT) -> None:
        """`threads`: how many the network uses; 0: all cores. `runtime`: a name in `runtimes.registry`.

        Raises BadBundle when a graph cannot be loaded, BadConfig for a runtime that this machine has no device for,
        MissingExtra for one that is not installed.
        """
        self._arguments = encoder.absolute(), decoder.absolute(), threads, runtime
        found = find_runtime(runtime)
        self._encoder, self._decoder = found.load_encoder(encoder, threads), found.load_decoder(decoder, threads)
        inputs, outputs = self._decoder.inputs, self._decoder.outputs
        self._memory = [name for name in inputs if name.startswith("memory.")]
        self._states = [name for name in inputs if name.startswith("state.")]
        expected = (*SEARCH, *self._memory, "log_probs", "best_log_probs", "best_tokens")
        there = {*inputs, *outputs} - set(self._memory) | set(self._encoder.outputs)
        missing = [name for name in expected if name not in there]
        if missing:
            raise BadBundle(f"{decoder}: {missing[0]} does not fit {encoder.name}; export the model again")
        self._attention = [name for name in outputs if name == "attention"]
        self.vocab_size = int(outputs["log_probs"][2] or 0)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its files, and loaded from them again."""
        return OnnxStepper, self._arguments

    @property
    def threads(self) -> int:
        return self._arguments[2]

    @property
    def runtime(self) -> str:
        return self._arguments[3]

    @property
    def pooled_channels(self) -> int | None:
        """C of the pooled features in a memory, under the name of POOLED; None where there are none."""
        return int(self._encoder.outputs[POOLED][1] or 0) if POOLED in self._encoder.outputs else None

    def encode(self, pixels: Floats) -> Arrays:
        memory: Arrays = {}
        names = list(self._encoder.outputs)
        for begin in range(0, len(pixels), ENCODER_BATCH):
            block = self._encoder.tensor(pixels[begin : begin + ENCODER_BATCH])
            for name, tensor in self._encoder.run({"pixels": block}, names).items():
                array = self._encoder.numpy(tensor)
                if begin == 0:  # Rejected: joining the blocks at the end, which has everything in memory twice
                    memory[name] = np.empty((len(pixels), *array.shape[1:]), array.dtype)
                memory[name][begin : begin + len(array)] = array
        return memory

    def init_state(self, memory: Arrays) -> State:
        batch = len(next(iter(memory.values())))
        states = {name: self._decoder.tensor(self._initial(name, memory, batch)) for name in self._states}
        tensors = {name: self._decoder.tensor(memory[name]) for name in self._memory}
        return State(tensors, states, _grid(batch, 1))

    def step(self, tokens: Ids, state: State, best: int | None = None) -> Step:
        runner, count = self._decoder, min(best or 1, self.vocab_size)
        search = dict(zip(SEARCH, (tokens, state.rows, np.array([count], np.int64)), strict=True))
        feed = {name: runner.tensor(array) for name, array in search.items()} | state.memory | state.states
        wanted = ["log_probs"] if best is None else ["best_log_probs", "best_tokens"]
        following = {name: name.replace("state.", "next.", 1) for name in self._states}
        results = runner.run(feed, [*wanted, *self._attention, *following.values()])
        arrays = {name: runner.numpy(results[name]) for name in (*wanted, *self._attention)}
        states = {name: results[output] for name, output in following.items()}
        after = State(state.memory, states, _grid(*tokens.shape))
        return Step(arrays[wanted[0]], after, arrays.get("attention"), arrays.get("best_tokens"))

    def reorder(self, state: State, images: Ids, beams: Ids) -> State:
        """Only the memory is copied, and only where images leave; rows follow in the next step."""
        rows = state.rows[images[:, None], beams]
        if len(images) == len(state.rows):
            return replace(state, rows=rows)
        memory = {name: self._decoder.gather(tensor, images) for name, tensor in state.memory.items()}
        return replace(state, memory=memory, rows=rows)

    def _initial(self, name: str, memory: Arrays, batch: int) -> NDArray[Any]:
        """The state [B, 1, ...] before the first token."""
        initial = memory.get(name.replace("state.", "memory.", 1))
        if initial is not None:
            return initial[:, None]
        lengths = [n if isinstance(n, int) else 0 for n in self._decoder.inputs[name][2:]]
        return np.zeros((batch, 1, *lengths), np.float32)


def _grid(batch: int, beams: int) -> Ids:
    """`[B, K, 2]`: every row's own image and beam."""
    return np.moveaxis(np.indices((batch, beams), np.int64), 0, -1)
