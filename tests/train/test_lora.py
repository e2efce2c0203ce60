"""Adapters against the equation written out."""

import pytest
import torch
from torch import nn

from showtell.config import parse_recipe
from showtell.errors import BadConfig
from showtell.nets.captioning_model import build_decoder
from showtell.nets.decoder import Sizes
from showtell.settings import PrefixTransformerSettings, TransformerSettings
from showtell.train.lora import LoRALinear, add_adapters, check_lora, load_merged, merged_state

RANK, ALPHA = 3, 6.0


def layer(bias: bool = True) -> tuple[nn.Linear, LoRALinear]:
    torch.manual_seed(0)
    plain = nn.Linear(5, 7, bias=bias).double()
    adapted = LoRALinear(plain, RANK, ALPHA)
    return plain, adapted


@pytest.mark.parametrize("bias", [True, False])
def test_output_and_gradients_are_those_of_w_plus_s_b_a(bias: bool) -> None:
    plain, adapted = layer(bias)
    nn.init.normal_(adapted.lora_b)
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    a, b = (p.detach().clone().requires_grad_() for p in (adapted.lora_a, adapted.lora_b))
    weight = plain.weight.detach() + ALPHA / RANK * b @ a
    expected = x @ weight.T + (plain.bias.detach() if bias else 0)
    torch.testing.assert_close(adapted(x), expected)
    torch.testing.assert_close(adapted.merged(), weight)
    target = torch.randn_like(expected)
    found = torch.autograd.grad((adapted(x) * target).sum(), [adapted.lora_a, adapted.lora_b])
    for one, other in zip(found, torch.autograd.grad((expected * target).sum(), [a, b]), strict=True):
        torch.testing.assert_close(one, other)


def test_an_adapter_begins_with_nothing_added() -> None:
    plain, adapted = layer()
    x = torch.randn(4, 5, dtype=torch.float64)
    assert torch.equal(adapted(x), plain(x))
    assert adapted.lora_a.abs().min() > 0 and (adapted.lora_b == 0).all()
    assert list(adapted.state_dict()) == ["weight", "bias", "lora_a", "lora_b"]


@pytest.mark.parametrize("kind", [TransformerSettings, PrefixTransformerSettings], ids=["transformer", "prefix"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_every_linear_layer_but_the_output_has_one(kind: type[TransformerSettings], tied: bool) -> None:
    settings = kind(width=16, layers=2, heads=2, ffn_dim=32, tie_weights=tied, output_transform=True)
    decoder = build_decoder(settings, Sizes(8, 4, 30, 10))
    linear = {name for name, module in decoder.named_modules() if isinstance(module, nn.Linear)}
    names = set(decoder.state_dict())
    add_adapters(decoder, RANK, ALPHA)
    adapted = {name for name, module in decoder.named_modules() if isinstance(module, LoRALinear)}
    assert adapted == linear - {"output"} and ("output" in linear) is not tied
    assert sum(".self_attention." in name for name in adapted) == 8 and "layers.1.fc2" in adapted
    trained = {name for name, p in decoder.named_parameters() if p.requires_grad}
    assert trained == {f"{name}.{part}" for name in adapted for part in ("lora_a", "lora_b")}
    assert set(merged_state(decoder)) == names


def test_what_was_merged_is_loaded_again() -> None:
    """As the mean of several epochs is."""
    settings = TransformerSettings(width=16, layers=1, heads=2, ffn_dim=32)
    decoder = build_decoder(settings, Sizes(8, 4, 30, 10))
    add_adapters(decoder, RANK, ALPHA)
    for name, parameter in decoder.named_parameters():
        if "lora" in name:
            nn.init.normal_(parameter)
    merged = {name: tensor.clone() for name, tensor in merged_state(decoder).items()}
    load_merged(decoder, merged)
    assert all(torch.equal(tensor, merged[name]) for name, tensor in merged_state(decoder).items())
    assert torch.equal(decoder.layers[0].fc1.weight, merged["layers.0.fc1.weight"])


def test_other_decoders_are_refused() -> None:
    raw = {"train": {"lora_rank": 4}, "model": {"decoder": {"kind": "attention"}}}
    with pytest.raises(BadConfig, match=r"lora_rank is 4, model.decoder.kind attention; .* expected train.lora_rank=0"):
        check_lora(parse_recipe(raw, "test"))
    check_lora(parse_recipe({"train": {"lora_rank": 4}}, "test"))
