"""LSTM with soft attention over image regions (Xu et al. 2015, Show, Attend and Tell).

At every word: attention from the previous hidden state, a gate on the context (section 4.2.1, beta), then one LSTM
step on [embedding; context]. h0 and c0 come from the mean region. The output is one linear layer on the hidden state,
as in the field's common code, in place of the paper's deep output (equation 7).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from showtell.config import AttentionLSTMSettings
from showtell.nets.attention import AdditiveAttention
from showtell.nets.decoder import Decoder, Taught, Tensors


class AttentionLSTM(Decoder):
    def __init__(self, settings: AttentionLSTMSettings, channels: int, vocabulary: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, settings.embedding)
        self.attention = AdditiveAttention(channels, settings.width, settings.attention)
        self.gate = nn.Linear(settings.width, channels)
        self.first_hidden = nn.Linear(channels, settings.width)
        self.first_cell = nn.Linear(channels, settings.width)
        self.cell = nn.LSTMCell(settings.embedding + channels, settings.width)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(settings.width, vocabulary)

    def memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> regions, their keys [B, S, A], and the first hidden and cell state [B, D]."""
        mean = regions.mean(1)
        return {
            "regions": regions,
            "keys": self.attention.keys(regions),
            "hidden": self.first_hidden(mean),
            "cell": self.first_cell(mean),
        }

    def start(self, memory: Tensors) -> Tensors:
        return {"hidden": memory["hidden"].unsqueeze(1), "cell": memory["cell"].unsqueeze(1)}

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors, Tensor]:
        state, weights = self._advance(self.words(tokens), memory, state)
        return self.logits(self.dropout(state["hidden"])), state, weights

    def teach(self, tokens: Tensor, memory: Tensors) -> Taught:
        captions, length = tokens.shape[1:]
        embedded = self.words(tokens)  # [B, N, T, E]
        state = {name: row.expand(-1, captions, -1) for name, row in self.start(memory).items()}
        hidden, attention = [], []
        for t in range(length):
            state, weights = self._advance(embedded[:, :, t], memory, state)
            hidden.append(state["hidden"])
            attention.append(weights)
        return Taught(self.dropout(torch.stack(hidden, 2)), torch.stack(attention, 2))

    def logits(self, hidden: Tensor) -> Tensor:
        scores: Tensor = self.output(hidden)
        return scores

    def _advance(self, embedded: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensors, Tensor]:
        """One word: embedded [B, K, E] -> the next state [B, K, D] and the attention weights [B, K, S]."""
        context, weights = self.attention(state["hidden"], memory["keys"], memory["regions"])
        gated = torch.sigmoid(self.gate(state["hidden"])) * context
        hidden, cell = self.cell(
            torch.cat([embedded, gated], -1).flatten(0, 1), (state["hidden"].flatten(0, 1), state["cell"].flatten(0, 1))
        )
        shape = embedded.shape[:2]
        return {"hidden": hidden.reshape(*shape, -1), "cell": cell.reshape(*shape, -1)}, weights
