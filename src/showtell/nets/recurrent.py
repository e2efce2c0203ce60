"""RNN, LSTM or GRU that sees the image once: as its first input (Vinyals et al. 2015, Show and Tell), or as its first
hidden state (as in Stanford's CS231n course; "init-inject" in Tanti et al. 2018, who compare these places).
"""

from __future__ import annotations

from torch import Tensor, nn

from showtell.nets.cells import Recurrence
from showtell.nets.decoder import Advanced, Decoder, Taught, Tensors
from showtell.settings import RecurrentSettings


class RecurrentDecoder(Decoder):
    def __init__(self, settings: RecurrentSettings, channels: int, vocabulary: int) -> None:
        super().__init__()
        self.head, seen = _head(channels, settings)
        self.as_input = settings.image == "first_input"
        self.image = nn.Linear(seen, settings.embedding if self.as_input else settings.layers * settings.width)
        self.words = nn.Embedding(vocabulary, settings.embedding)
        self.embedding_dropout = nn.Dropout(settings.embedding_dropout)
        self.recurrence = Recurrence(
            settings.cell, settings.embedding, settings.width, settings.layers, settings.dropout, settings.biases
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(settings.width, vocabulary)

    def memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> the state after the image, [B, L, D]. All regions count the same."""
        image = self.image(self.head(regions.mean(1)))
        state = self.recurrence.zeros(image)
        if self.as_input:
            return self.recurrence.step(image, state)[1]
        return {**state, "hidden": image.view(state["hidden"].shape)}

    def start(self, memory: Tensors) -> Tensors:
        return {name: memory[name].unsqueeze(1) for name in self.recurrence.states}

    def advance(self, tokens: Tensor, memory: Tensors, state: Tensors) -> Advanced:
        top, state = self.recurrence.step(self.embedding_dropout(self.words(tokens)), state)
        return Advanced(self.dropout(top), state, None)

    def teach(self, tokens: Tensor, memory: Tensors) -> Taught:
        rows, captions, length = tokens.shape
        embedded = self.embedding_dropout(self.words(tokens)).flatten(0, 1)  # [B * N, T, E]
        state = {name: memory[name].repeat_interleave(captions, 0) for name in self.recurrence.states}
        hidden = self.recurrence.run(embedded, state)
        return Taught(self.dropout(hidden.view(rows, captions, length, -1)), None)

    def logits(self, hidden: Tensor) -> Tensor:
        scores: Tensor = self.output(hidden)
        return scores


def _head(channels: int, settings: RecurrentSettings) -> tuple[nn.Sequential, int]:
    """ReLU layers with dropout between them, and the width that comes out."""
    parts: list[nn.Module] = []
    for width in settings.head:
        parts += [nn.Dropout(settings.dropout)] * bool(parts)
        parts += [nn.Linear(channels, width), nn.ReLU()]
        channels = width
    return nn.Sequential(*parts), channels
