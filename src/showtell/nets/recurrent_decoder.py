"""RNN, LSTM or GRU that receives the image once: as its first input ("pre-inject" in Tanti et al. 2018; Vinyals et al.
2015, Show and Tell), or as its initial hidden state ("init-inject"; Stanford's CS231n course).
"""

from __future__ import annotations

from torch import Tensor, nn

from showtell.nets.cells import Recurrence
from showtell.nets.decoder import Decoder, DecoderOutput, Sizes, StepOutput, Tensors
from showtell.nets.dropout import Dropout
from showtell.settings import RecurrentSettings


class RecurrentDecoder(Decoder):
    def __init__(self, settings: RecurrentSettings, channels: int, vocab_size: int) -> None:
        super().__init__()
        self.head, features = _head(channels, settings)
        self.image_is_input = settings.image == "first_input"
        image_dim = settings.embedding_dim if self.image_is_input else settings.layers * settings.width
        self.image = nn.Linear(features, image_dim)
        self.token_embedding = nn.Embedding(vocab_size, settings.embedding_dim)
        self.embedding_dropout = Dropout(settings.embedding_dropout)
        self.recurrence = Recurrence(
            settings.cell, settings.embedding_dim, settings.width, settings.layers, settings.dropout, settings.biases
        )
        self.dropout = Dropout(settings.dropout)
        self.output = nn.Linear(settings.width, vocab_size)

    @classmethod
    def from_settings(cls, settings: RecurrentSettings, sizes: Sizes) -> RecurrentDecoder:
        return cls(settings, sizes.channels, sizes.vocab_size)

    def encode_memory(self, regions: Tensor) -> Tensors:
        """[B, S, C] -> the state after the image, [B, L, D]. Regions are averaged."""
        image = self.image(self.head(regions.mean(1)))
        state = self.recurrence.zeros(image)
        if self.image_is_input:
            return self.recurrence.step(image, state)[1]
        return {**state, "hidden": image.view(state["hidden"].shape)}

    def init_state(self, memory: Tensors) -> Tensors:
        return {name: memory[name].unsqueeze(1) for name in self.recurrence.states}

    def decode_step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> StepOutput:
        hidden, state = self.recurrence.step(self.embedding_dropout(self.token_embedding(tokens)), state)
        return StepOutput(self.dropout(hidden), state, None)

    def forward(self, tokens: Tensor, memory: Tensors) -> DecoderOutput:
        batch, captions, length = tokens.shape
        embedded = self.embedding_dropout(self.token_embedding(tokens)).flatten(0, 1)  # [B * N, T, E]
        state = {name: memory[name].repeat_interleave(captions, 0) for name in self.recurrence.states}
        hidden = self.recurrence.run(embedded, state)
        return DecoderOutput(self.dropout(hidden.view(batch, captions, length, -1)), None)

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.output(hidden)
        return logits


def _head(channels: int, settings: RecurrentSettings) -> tuple[nn.Sequential, int]:
    """ReLU layers with dropout between them, and their output width."""
    parts: list[nn.Module] = []
    for width in settings.head:
        parts += [Dropout(settings.dropout)] * bool(parts)
        parts += [nn.Linear(channels, width), nn.ReLU()]
        channels = width
    return nn.Sequential(*parts), channels
