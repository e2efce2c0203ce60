"""The optimiser of a run."""

from __future__ import annotations

from typing import Any

import torch

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import TrainSettings


def build_optimizer(model: CaptioningModel, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), Adam (Kingma & Ba 2015) or SGD with momentum; the encoder at its own rate.

    With AdamW vectors (biases, norms) do not decay. In the other two weight decay is the L2 term of the gradient, on
    everything, as in the systems that used them.
    """
    groups: list[dict[str, Any]] = []
    for part, rate in ((model.decoder, settings.lr), (model.encoder.late, settings.encoder_lr)):
        parameters = [p for p in part.parameters() if p.requires_grad]
        for matrices in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) is matrices]
            decay = settings.weight_decay if matrices or settings.optimizer != "adamw" else 0.0
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "base_lr": rate})
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=settings.lr)
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98))
