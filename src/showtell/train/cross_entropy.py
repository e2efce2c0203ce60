"""Cross-entropy of tokens whose gradient is written over the logits.

The logits of a step `[W, V]` are its largest tensor, and each operation on them passes through memory: log-softmax,
loss, smoothing, and for all of them their gradients. Here the rows are taken a few at a time, while they are in the
processor's cache, and the forward pass leaves the gradient, softmax minus target, where the logits were (as in Liger
Kernel's CUDA kernels, Hsu et al. 2024). Nothing of the size `[W, V]` is allocated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

ROWS = 64
"""Tokens at a time: with ten thousand words, some MB."""


def cross_entropy_overwriting(
    logits: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
    banned_ids: Sequence[int] = (),
) -> tuple[Tensor, Tensor]:
    """The mean over tokens of their loss, and the cross-entropy of each without smoothing, `[W]`, without a gradient.

    `logits` `[W, V]` are overwritten where a gradient is needed: nothing else may read them. `weights` `[W]` multiply
    the losses, not the cross-entropies that are returned; `banned_ids` have the probability 0. With label smoothing
    (Szegedy et al. 2016) the target is (1 - s) of its token and s of all tokens evenly.
    """
    loss, token_losses = _CrossEntropy.apply(logits, targets, label_smoothing, weights, list(banned_ids))
    return loss, token_losses


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None, banned_ids: list[int]
    ) -> tuple[Tensor, Tensor]:
        count, vocab = logits.shape
        losses, plain = [], []
        for begin in range(0, count, ROWS):
            rows, row_targets = logits[begin : begin + ROWS], targets[begin : begin + ROWS].unsqueeze(1)
            wide = rows if rows.dtype == torch.float64 else rows.float()
            if banned_ids:
                wide = wide.index_fill(1, torch.tensor(banned_ids, device=wide.device), -torch.inf)
            log_probs = wide.log_softmax(1)
            plain.append(-log_probs.gather(1, row_targets)[:, 0])
            loss = (1 - smoothing) * plain[-1]
            if smoothing:
                loss = loss - smoothing * log_probs.mean(1)
            row_weights = None if weights is None else weights[begin : begin + ROWS]
            losses.append(loss if row_weights is None else loss * row_weights)
            if ctx.needs_input_grad[0]:
                gradient = log_probs.exp_()
                if smoothing:
                    gradient -= smoothing / vocab
                gradient.scatter_add_(1, row_targets, gradient.new_full(row_targets.shape, smoothing - 1))
                rows.copy_(gradient if row_weights is None else gradient.mul_(row_weights.unsqueeze(1)))
        ctx.gradient, ctx.count = logits, count
        token_losses = torch.cat(plain)
        ctx.mark_non_differentiable(token_losses)
        return torch.cat(losses).mean(), token_losses

    @staticmethod
    def backward(ctx: Any, scale: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None]:
        gradient, ctx.gradient = ctx.gradient, None
        # Divided only now: with the loss scaler's factor the quotient is no subnormal number of half precision.
        return gradient.mul_((scale / ctx.count).to(gradient.dtype)), None, None, None, None
