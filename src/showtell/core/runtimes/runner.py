"""The interface between a stepper and whatever computes an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from showtell.errors import ShowtellError

Shape = tuple[int | str | None, ...]
"""A name or None where a size is known only when the graph runs."""


class GraphRunner(Protocol):
    """One graph, loaded. Its tensors are its own: only `tensor`, `gather` and `run` make them, and they may be on a
    device. Several threads may use it at once."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]

    def tensor(self, array: NDArray[Any]) -> Any:
        """An array as a tensor, where possible without a copy: the array must not change afterwards."""
        ...

    def run(self, feed: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        """The tensors of the outputs `names`, from tensors of all inputs. Outputs that are not named are not copied."""
        ...

    def numpy(self, tensor: Any) -> NDArray[Any]:
        """A tensor as an array, where possible without a copy."""
        ...

    def gather(self, tensor: Any, indices: NDArray[np.int64]) -> Any:
        """Those parts `[B', ...]` of a tensor `[B, ...]`."""
        ...


def first_line(error: Exception) -> str:
    """Of a library's error, whose message may have many, or none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def failed_run(library: str, error: Exception) -> ShowtellError:
    """What a user is told where a graph that was loaded cannot run."""
    return ShowtellError(
        f"{library} failed ({first_line(error)}); use a smaller --batch-size, or --runtime onnxruntime"
    )
