"""Fit an encoder's PCA on the training split."""

from __future__ import annotations

import numpy as np
import torch

from showtell.errors import BadConfig
from showtell.nets.encoder import Encoder
from showtell.train.batch_source import BatchSource

MAX_REGIONS = 100_000
"""Regions to fit on, evenly spaced over the split: 1.6 GB with VGG's 4,096 channels."""
BATCH = 64


def fit_pca(encoder: Encoder, features: BatchSource) -> None:
    """Fit `encoder.pca` on the training split's features. Raises BadConfig for fewer features than components."""
    from sklearn.decomposition import PCA

    assert encoder.pca is not None
    count = len(encoder.pca.components)
    batches, device = [], next(encoder.parameters()).device
    stride = max(1, -(-len(features) * encoder.num_regions // MAX_REGIONS))
    with torch.inference_mode():
        for begin in range(0, len(features), BATCH):
            images = np.arange(begin, min(begin + BATCH, len(features)))
            regions = encoder.regions(features.batch(images).to(device))
            batches.append(regions.flatten(0, 1)[::stride].cpu().numpy())
    rows = np.concatenate(batches)
    if len(rows) < count:
        raise BadConfig(
            f"model.encoder.pca is {count}, but the training split has {len(rows)} features; expected at most as many "
            "components as features"
        )
    # Centred here: sklearn subtracts the mean from the covariance instead, which in single precision leaves noise where
    # a channel's mean is large compared with its deviation.
    mean = rows.mean(0, dtype=np.float64)
    rows -= mean.astype(np.float32)
    # The eigenvectors of the covariance: exact, deterministic, and as fast with many rows as with few.
    fitted = PCA(count, svd_solver="covariance_eigh").fit(rows)
    encoder.pca.fill((mean + fitted.mean_).astype(np.float32), fitted.components_.astype(np.float32))
