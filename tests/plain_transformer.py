"""Transformer decoders from their equations, for one image and one caption, head by head, with nothing cached.

Read with the decoder's own parameters by name; `reference_logits` in tests/nets/test_transformer_decoder.py is a second
reference, torch's layers, for what these have.
"""

import math

import torch
from torch import Tensor, nn

from showtell.settings import PrefixTransformerSettings, TransformerSettings

ACTIVATIONS = {
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "quick_gelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "relu": lambda x: torch.where(x > 0, x, 0),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


class PlainTransformer:
    def __init__(self, decoder: nn.Module, settings: TransformerSettings | PrefixTransformerSettings) -> None:
        self.own = {**dict(decoder.named_buffers()), **dict(decoder.named_parameters())}
        self.settings = settings
        self.act = ACTIVATIONS[settings.activation]

    def logits(self, regions: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """regions [S, C], tokens [T] -> logits [T, V], the last layer's weights on regions [T, S]."""
        settings = self.settings
        seen = self.linear("region_projection.1", self.norm("region_projection.0", settings.input_norm, regions))
        seen = self.norm("region_projection.2", settings.projection_norm, seen, settings.projection_norm_eps)
        if settings.region_position_embedding != "none":
            seen = seen + self.own["region_position_embedding"]
        scale = settings.scale_embedding
        if scale is None:
            scale = settings.position_embedding == "sinusoidal"
        x = self.own["token_embedding.weight"][tokens] * (math.sqrt(settings.width) if scale else 1)
        x = self.norm("embedding_norm", settings.embedding_norm, x + self.own["position_embedding"][: len(tokens)])
        x, weights = (self.joint if settings.kind == "prefix_transformer" else self.crossed)(seen, x)
        x = self.norm("norm", settings.final_norm, x)
        if settings.output_transform:
            x = self.norm("output_transform.norm", True, self.act(self.linear("output_transform.linear", x)))
        matrix = self.own["token_embedding.weight" if settings.tie_weights else "output.weight"]
        bias = self.own["output_bias" if settings.tie_weights else "output.bias"] if settings.output_bias else 0
        return x @ matrix.T + bias, weights.mean(0)

    def crossed(self, seen: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens attend to tokens up to themselves, then to regions."""
        settings, length = self.settings, len(x)
        for n in range(settings.encoder_layers):
            seen, _ = self.sublayer(f"encoder_layers.{n}.self_attention", seen, None, len(seen) * [range(len(seen))])
            seen = self.feed_forward(f"encoder_layers.{n}", seen)
        has_norm = settings.final_norm if settings.encoder_norm is None else settings.encoder_norm
        seen = self.norm("encoder_norm", has_norm, seen)
        for n in range(settings.layers):
            x, _ = self.sublayer(f"layers.{n}.self_attention", x, None, [range(t + 1) for t in range(length)])
            x, weights = self.sublayer(f"layers.{n}.cross_attention", x, seen, length * [range(len(seen))])
            x = self.feed_forward(f"layers.{n}", x)
        return x, weights

    def joint(self, seen: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """One sequence, regions and then tokens: regions attend to regions, tokens to all that is not after them."""
        regions = len(seen)
        sequence = torch.cat([seen, x])
        allowed = [range(max(regions, place + 1)) for place in range(len(sequence))]
        for n in range(self.settings.layers):
            sequence, weights = self.sublayer(f"layers.{n}.self_attention", sequence, None, allowed)
            sequence = self.feed_forward(f"layers.{n}", sequence)
        return sequence[regions:], weights[:, regions:, :regions]

    def sublayer(self, name: str, x: Tensor, memory: Tensor | None, allowed: list[range]) -> tuple[Tensor, Tensor]:
        is_first = self.settings.norm == "pre"
        inputs = self.norm(f"{name}_norm", is_first, x)
        update, weights = self.attend(name, inputs, inputs if memory is None else memory, allowed)
        return self.norm(f"{name}_norm", not is_first, x + update), weights

    def attend(self, name: str, x: Tensor, memory: Tensor, allowed: list[range]) -> tuple[Tensor, Tensor]:
        """x [Q, D], memory [S, M] -> [Q, D], weights [heads, Q, S]; query q attends to memory[allowed[q]]."""
        size = self.settings.width // self.settings.heads
        q, k, v = (self.linear(f"{name}.{n}", y) for n, y in (("query", x), ("key", memory), ("value", memory)))
        weights = q.new_zeros(self.settings.heads, len(x), len(memory))
        heads = []
        for head in range(self.settings.heads):
            part = slice(head * size, (head + 1) * size)
            for place, sees in enumerate(allowed):
                scores = torch.exp(k[sees.start : sees.stop, part] @ q[place, part] / math.sqrt(size))
                weights[head, place, sees.start : sees.stop] = scores / scores.sum()
            heads.append(weights[head] @ v[:, part])
        return self.linear(f"{name}.output", torch.cat(heads, 1)), weights

    def feed_forward(self, name: str, x: Tensor) -> Tensor:
        is_first = self.settings.norm == "pre"
        hidden = self.act(self.linear(f"{name}.fc1", self.norm(f"{name}.ffn_norm", is_first, x)))
        return self.norm(f"{name}.ffn_norm", not is_first, x + self.linear(f"{name}.fc2", hidden))

    def linear(self, name: str, x: Tensor) -> Tensor:
        """Unchanged where there is no such layer, as settings may have it of the regions' projection only."""
        if name == "region_projection.1" and not self.settings.region_projection:
            return x
        return x @ self.own[f"{name}.weight"].T + self.own[f"{name}.bias"]

    def norm(self, name: str, enabled: bool, x: Tensor, eps: float | None = None) -> Tensor:
        if not enabled:
            return x
        centred = x - x.mean(-1, keepdim=True)
        deviation = (centred.square().mean(-1, keepdim=True) + (eps or self.settings.norm_eps)).sqrt()
        return centred / deviation * self.own[f"{name}.weight"] + self.own[f"{name}.bias"]
