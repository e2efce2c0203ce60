"""RNN, LSTM or GRU that looks at the image for every word (Xu et al. 2015, Show, Attend and Tell).

At every word: attention from the last layer's previous hidden state, a gate on the context (section 4.2.1, beta), then
one step on [embedding; context]. The first state comes from the mean region. The output is one linear layer on the
hidden state, as in the field's common code, in place of the paper's deep output (equation 7).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from showtell.nets.attention import AdditiveAttention
from showtell.nets.cells import Recurrence
from showtell.nets.decoder import Advanced, Decoder, Tensors
from showtell.settings import AttentionSettings


class AttendingDecoder(Decoder):
    baseline: Tensor
    """Hard attention: the moving average of a caption's log-probability, which its reward is compared with."""

    def __init__(self, settings: AttentionSettings, channels: int, vocabulary: int) -> None:
        super().__init__()
        width, layers = settings.width, settings.layers
        self.words = nn.Embedding(vocabulary, settings.embedding)
        self.embedding_dropout = nn.Dropout(settings.embedding_dropout)
        self.attention = AdditiveAttention(channels, width, settings.attention, settings.energy, settings.hard)
        self.gate = nn.Linear(width, channels) if settings.gate else None
        self.recurrence = Recurrence(settings.cell, settings.embedding + channels, width, layers, settings.dropout)
        self.first = nn.ModuleDict()
        if settings.initial == "mean":
            self.first.update({name: nn.Linear(channels, layers * width) for name in self.recurrence.states})
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(width, vocabulary)
        if settings.hard:
            self.register_buffer("baseline", torch.zeros(()))

    def memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> regions, their keys [B, S, A], and the first state [B, L, D]."""
        mean = regions.mean(1)
        state = self.recurrence.zeros(mean)
        for name, linear in self.first.items():
            state[name] = linear(mean).view(state[name].shape)
        return {"regions": regions, "keys": self.attention.keys(regions), **state}

    def start(self, memory: Tensors) -> Tensors:
        return {name: memory[name].unsqueeze(1) for name in self.recurrence.states}

    def advance(self, tokens: Tensor, memory: Tensors, state: Tensors) -> Advanced:
        hidden = state["hidden"][..., -1, :]
        context, weights, chosen = self.attention(hidden, memory["keys"], memory["regions"])
        if self.gate is not None:
            context = torch.sigmoid(self.gate(hidden)) * context
        embedded = self.embedding_dropout(self.words(tokens))
        top, state = self.recurrence.step(torch.cat([embedded, context], -1), state)
        return Advanced(self.dropout(top), state, weights, chosen)

    def logits(self, hidden: Tensor) -> Tensor:
        scores: Tensor = self.output(hidden)
        return scores
