"""The loss of a batch, as a module: its forward pass is what Fabric wraps for precision and many processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from showtell.config import AttentionLSTMSettings, DecoderSettings, TrainSettings
from showtell.nets.captioning_model import CaptioningModel


class CaptionLoss(nn.Module):
    """Cross-entropy of the true next word with label smoothing (Szegedy et al. 2016), over all words of a batch."""

    def __init__(
        self, model: CaptioningModel, decoder: DecoderSettings, train: TrainSettings, pad: int, unknown: int
    ) -> None:
        super().__init__()
        self.model = model
        self.pad, self.unknown = pad, unknown
        self.label_smoothing, self.word_dropout = train.label_smoothing, train.word_dropout
        self.doubly_stochastic = decoder.doubly_stochastic if isinstance(decoder, AttentionLSTMSettings) else 0.0

    def forward(
        self, get_features: Callable[[], Tensor], slots: list[Tensor], train_encoder: bool
    ) -> tuple[Tensor, Tensor]:
        """The encoder's cached features [B, ...] and captions [B, N, T] in slots of like length (see `Batch`)
        -> the loss, and the plain cross-entropy per word in nats.

        The features come from a function because Fabric rounds tensors that it passes on to bfloat16, which nobody does
        to an image when the model is used.
        """
        features = get_features()
        # On a CPU the backward pass of depthwise convolutions is slower in bfloat16 than in float32.
        precision = contextlib.nullcontext() if features.is_cuda else torch.autocast("cpu", enabled=False)
        with precision, torch.set_grad_enabled(train_encoder and torch.is_grad_enabled()):
            regions = self.model.encoder.finish(features)
        memory = self.model.decoder.memory(regions)
        hidden, targets, penalties = [], [], []
        for tokens in slots:
            following = tokens[:, :, 1:]
            real = following != self.pad
            taught = self.model.decoder.teach(self._drop_words(tokens[:, :, :-1]), memory)
            hidden.append(taught.hidden[real])  # only real words cost a vocabulary
            targets.append(following[real])
            if self.doubly_stochastic and taught.attention is not None:
                penalties.append(doubly_stochastic_penalty(taught.attention, real))
        log_probs = self.model.decoder.logits(torch.cat(hidden)).float().log_softmax(-1)
        entropy = functional.nll_loss(log_probs, torch.cat(targets))
        # Label smoothing by hand, on log-probabilities that are there already: cross_entropy would compute them again
        # to give the plain loss, which is the one that can be compared between runs.
        loss = (1 - self.label_smoothing) * entropy - self.label_smoothing * log_probs.mean()
        if penalties:
            loss = loss + self.doubly_stochastic * torch.cat(penalties).mean()
        return loss, entropy.detach()

    def _drop_words(self, inputs: Tensor) -> Tensor:
        if not self.word_dropout or not self.training:
            return inputs
        dropped = torch.rand(inputs.shape, device=inputs.device) < self.word_dropout
        dropped[:, :, 0] = False  # the language
        return inputs.masked_fill(dropped & (inputs != self.pad), self.unknown)


def doubly_stochastic_penalty(attention: Tensor, real: Tensor) -> Tensor:
    """(1 - sum_t alpha_t)^2 (Xu et al. 2015, equation 14), of each caption that has words and each region.

    attention [B, N, T, S], real [B, N, T] true where there is a word -> [captions, S]
    """
    total = (attention * real.unsqueeze(-1)).sum(2)  # [B, N, S]
    return ((1 - total) ** 2)[real.any(-1)]
