"""Running out of GPU memory, reported as one line that names the settings to lower."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from showtell.errors import BadConfig


@contextlib.contextmanager
def explain_out_of_memory() -> Iterator[None]:
    """Raises BadConfig when the GPU's memory runs out within the block."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise BadConfig(
            "the GPU's memory is too small for these settings; lower train.batch_size "
            "(train.accumulate_grad_batches makes up for it) or model.encoder.pixels.size"
        ) from error
