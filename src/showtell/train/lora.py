"""Low-rank adapters (Hu et al. 2022, LoRA): a decoder of any size is fine-tuned through a few small matrices.

A linear layer of the Transformer decoder computes W x + b + s B A x (their equation 3), with s = `train.lora_alpha` /
`train.lora_rank`. W and b stay as they are; only A [rank, inputs] and B [outputs, rank] are trained, so gradients and
the optimiser's state are theirs alone. B begins at zero: the first step starts from the captions of the model as it is.

The layers are the projections of attention, the feed-forward and those that lead from the image to the decoder.
Embeddings, norms and the output layer stay frozen: the output layer is the token embedding, or as large.

What is validated is the sum as trained, W and B A apart; what is kept as the best model is W + s B A, under W's name.
The two differ by rounding only, and export, evaluation and further training need to know nothing of adapters. Rejected:
validating a merged copy, which needs the decoder's memory twice.

Rejected: peft. It imports transformers, a heavy dependency, for what is forty lines here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from showtell.errors import BadConfig
from showtell.settings import Recipe

KINDS = ("transformer", "prefix_transformer")
ADAPTERS = ("lora_a", "lora_b")


class LoRALinear(nn.Linear):
    """A linear layer with an adapter. It keeps the names of the layer's own tensors."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight.requires_grad_(False), layer.bias
        # Of a size that leaves A x as large as x, whatever the width.
        self.lora_a = nn.Parameter(layer.weight.new_empty(rank, layer.in_features).normal_(std=layer.in_features**-0.5))
        self.lora_b = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]"""
        adapted = functional.linear(functional.linear(x, self.lora_a), self.lora_b)
        return super().forward(x) + self.scale * adapted

    def merged(self) -> Tensor:
        """W + s B A"""
        return self.weight + self.scale * (self.lora_b @ self.lora_a)


def check_lora(recipe: Recipe) -> None:
    """Raises BadConfig where there is nothing to adapt."""
    kind = recipe.model.decoder.kind
    if recipe.train.lora_rank and kind not in KINDS:
        raise BadConfig(
            f"train.lora_rank is {recipe.train.lora_rank}, model.decoder.kind {kind}; adapters are of Transformers: "
            "expected train.lora_rank=0"
        )


def add_adapters(decoder: nn.Module, rank: int, alpha: float) -> None:
    """Freeze the decoder, and give each of its linear layers but the output an adapter."""
    decoder.requires_grad_(False)
    for parent in list(decoder.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear and (parent, name) != (decoder, "output"):
                setattr(parent, name, LoRALinear(layer, rank, alpha))


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The weights as a model without adapters has them; of one without, its own."""
    state: dict[str, Tensor] = {
        name: tensor for name, tensor in model.state_dict().items() if not name.endswith(ADAPTERS)
    }
    for name, layer in model.named_modules():
        if isinstance(layer, LoRALinear):
            state[f"{name}.weight"] = layer.merged().detach()
    return state


def load_merged(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Load what `merged_state` gave, or a mean of several; adapters then add nothing."""
    own = model.state_dict()
    nothing = {name: torch.zeros_like(tensor) for name, tensor in own.items() if name.endswith(ADAPTERS)}
    model.load_state_dict({**nothing, **state})
