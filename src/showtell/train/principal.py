"""Fitting an encoder's principal components on the training split."""

from __future__ import annotations

import numpy as np
import torch

from showtell.errors import BadConfig
from showtell.nets.encoder import Encoder
from showtell.train.features import Features

MOST = 100_000
"""Regions that are fitted on, evenly spaced over the split: 1.6 GB of VGG's 4,096 channels."""
BLOCK = 64


def fit_principal_components(encoder: Encoder, features: Features) -> None:
    """Fit `encoder.pca` on the training split's features. Raises BadConfig when they are fewer than its components."""
    from sklearn.decomposition import PCA

    assert encoder.pca is not None
    count = len(encoder.pca.components)
    blocks, device = [], next(encoder.parameters()).device
    every = max(1, -(-len(features) * encoder.grid[0] * encoder.grid[1] // MOST))
    with torch.inference_mode():
        for begin in range(0, len(features), BLOCK):
            images = np.arange(begin, min(begin + BLOCK, len(features)))
            regions = encoder.regions(features.batch(images).to(device))
            blocks.append(regions.flatten(0, 1)[::every].cpu().numpy())
    rows = np.concatenate(blocks)
    if len(rows) < count:
        raise BadConfig(
            f"model.encoder.pca is {count}, but the training split has {len(rows)} features; expected at most as many "
            "components as features"
        )
    # Centred here: sklearn takes the mean off the covariance instead, which in single precision leaves noise where a
    # channel's mean is large beside what it varies by.
    mean = rows.mean(0, dtype=np.float64)
    rows -= mean.astype(np.float32)
    # The eigenvectors of the covariance: exact, the same every time, and as fast with many rows as with few.
    fitted = PCA(count, svd_solver="covariance_eigh").fit(rows)
    encoder.pca.fill((mean + fitted.mean_).astype(np.float32), fitted.components_.astype(np.float32))
