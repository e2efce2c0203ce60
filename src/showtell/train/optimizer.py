"""The optimiser of a run, with its parameter groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import TrainSettings


def build_optimizer(model: CaptioningModel, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), Adam (Kingma & Ba 2015) or SGD with momentum; the encoder at its own rate.

    With `layer_decay` below 1 each trained stage has its own rate (Howard & Ruder 2018): `encoder_lr` for the last one,
    and for every earlier one the next one's times the decay. AdamW has no weight decay on vectors (biases, norms).
    In the other two, weight decay is the L2 term of the gradient, on everything, as in the systems that used them.
    """
    groups: list[dict[str, Any]] = []
    for module, lr in [(model.decoder, settings.lr), *_encoder_parts(model.encoder.trainable, settings)]:
        parameters = [p for p in module.parameters() if p.requires_grad]
        for is_matrix in (True, False):
            group = [p for p in parameters if (p.ndim > 1) is is_matrix]
            decay = settings.weight_decay if is_matrix or settings.optimizer != "adamw" else 0.0
            if group:
                groups.append({"params": group, "weight_decay": decay, "base_lr": lr})
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    # Rejected: fused=True, with which a run whose encoder is trained did not end, once resumed, as one that was not
    # stopped.
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=settings.lr)
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98))


def _encoder_parts(stages: nn.Sequential, settings: TrainSettings) -> list[tuple[nn.Module, float]]:
    """The trained stages of the encoder with their learning rates; stages without parameters are left out."""
    if settings.layer_decay == 1:  # one group for all: a saved state identifies parameters by their index
        return [(stages, settings.encoder_lr)]
    trained = [stage for stage in stages if any(True for _ in stage.parameters())]
    return [
        (stage, settings.encoder_lr * settings.layer_decay ** (len(trained) - position))
        for position, stage in enumerate(trained, start=1)
    ]
