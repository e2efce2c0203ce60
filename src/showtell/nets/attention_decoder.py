"""RNN, LSTM or GRU with attention over the image regions at every step (Xu et al. 2015, Show, Attend and Tell).

One step: attention from the last layer's previous hidden state, a gate on the context (section 4.2.1, beta), then the
recurrent layers on [embedding; context]. The initial state is a projection of the mean region. The output is one linear
layer on the hidden state, as in most public implementations, in place of the paper's deep output (equation 7).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from showtell.nets.attention import AdditiveAttention
from showtell.nets.cells import Recurrence
from showtell.nets.decoder import Decoder, DecoderOutput, Sizes, StepOutput, Tensors
from showtell.nets.dropout import Dropout
from showtell.settings import AttentionSettings


class AttentionDecoder(Decoder):
    attention_settings: AttentionSettings

    def __init__(self, settings: AttentionSettings, channels: int, vocab_size: int) -> None:
        super().__init__()
        width, layers = settings.width, settings.layers
        self.attention_settings = settings
        self.token_embedding = nn.Embedding(vocab_size, settings.embedding_dim)
        self.embedding_dropout = Dropout(settings.embedding_dropout)
        self.attention = AdditiveAttention(channels, width, settings.attention_dim, settings.energy, settings.hard)
        self.gate = nn.Linear(width, channels) if settings.gate else None
        self.recurrence = Recurrence(settings.cell, settings.embedding_dim + channels, width, layers, settings.dropout)
        self.state_projections = nn.ModuleDict()
        if settings.initial_state == "mean":
            names = self.recurrence.states
            self.state_projections.update({name: nn.Linear(channels, layers * width) for name in names})
        self.dropout = Dropout(settings.dropout)
        self.output = nn.Linear(width, vocab_size)
        if settings.hard:
            self.register_buffer("reward_baseline", torch.zeros(()))

    @classmethod
    def from_settings(cls, settings: AttentionSettings, sizes: Sizes) -> AttentionDecoder:
        return cls(settings, sizes.channels, sizes.vocab_size)

    def encode_memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> regions, their projected keys [B, S, A], and the initial state [B, L, D]."""
        mean = regions.mean(1)
        state = self.recurrence.zeros(mean)
        for name, projection in self.state_projections.items():
            state[name] = projection(mean).view(state[name].shape)
        return {"regions": regions, "keys": self.attention.keys(regions), **state}

    def init_state(self, memory: Tensors) -> Tensors:
        return {name: memory[name].unsqueeze(1) for name in self.recurrence.states}

    def decode_step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> StepOutput:
        hidden = state["hidden"][..., -1, :]
        attended = self.attention(hidden, memory["keys"], memory["regions"])
        context = attended.context
        if self.gate is not None:
            context = torch.sigmoid(self.gate(hidden)) * context
        embedded = self.embedding_dropout(self.token_embedding(tokens))
        hidden, state = self.recurrence.step(torch.cat([embedded, context], -1), state)
        return StepOutput(self.dropout(hidden), state, attended.weights, attended.region_log_prob)

    def forward_slots(self, slots: Sequence[Tensor], memory: Tensors) -> list[DecoderOutput]:
        return self.unroll_slots(slots, memory)

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.output(hidden)
        return logits
