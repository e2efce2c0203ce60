"""The optimiser of a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import TrainSettings


def build_optimizer(model: CaptioningModel, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), Adam (Kingma & Ba 2015) or SGD with momentum; the encoder at its own rate.

    With `encoder_decay` below 1 each of its trained stages has a rate of its own (Howard & Ruder 2018): the last one
    `encoder_lr`, every earlier one the next one's times the decay. With AdamW vectors (biases, norms) do not decay. In
    the other two weight decay is the L2 term of the gradient, on everything, as in the systems that used them.
    """
    groups: list[dict[str, Any]] = []
    for part, rate in [(model.decoder, settings.lr), *_encoder_parts(model.encoder.late, settings)]:
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


def _encoder_parts(late: nn.Sequential, settings: TrainSettings) -> list[tuple[nn.Module, float]]:
    """What of the encoder learns at a rate of its own, with that rate; a stage without weights is none."""
    if settings.encoder_decay == 1:  # one group for all: an interrupted run's state knows weights by their place in it
        return [(late, settings.encoder_lr)]
    stages = [stage for stage in late if any(True for _ in stage.parameters())]
    return [
        (stage, settings.encoder_lr * settings.encoder_decay ** (len(stages) - place))
        for place, stage in enumerate(stages, start=1)
    ]
