"""PCA of frozen features as part of the encoder, so that a bundle still captions photos."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from showtell.errors import BadConfig


class PCA(nn.Module):
    """[..., C] -> [..., N]: (x - mean) W^T. Fitted, not trained: buffers, set by `fill`."""

    mean: Tensor
    components: Tensor

    def __init__(self, channels: int, count: int) -> None:
        """Raises BadConfig for more components than channels."""
        super().__init__()
        if count > channels:
            raise BadConfig(
                f"model.encoder.pca is {count}; expected at most {channels}, the encoder's number of channels"
            )
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("components", torch.zeros(count, channels))

    def fill(self, mean: NDArray[np.float32], components: NDArray[np.float32]) -> None:
        """mean `[C]`, components `[N, C]`"""
        self.mean.copy_(torch.from_numpy(mean))
        self.components.copy_(torch.from_numpy(components))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) @ self.components.T
