"""The optimiser's rules against torch's formulas, written out."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import AttentionSettings, EncoderSettings, ModelSettings, PixelChoices, TrainSettings
from showtell.train.optimizer import build_optimizer

DECODER = AttentionSettings(width=12, embedding=10, attention=9, hard=True)
ENCODER = EncoderSettings(name="test_resnet", random=True, pixels=PixelChoices(size=32))
LR, ENCODER_LR, DECAY = 0.05, 0.007, 0.3


def build(**train: object) -> tuple[CaptioningModel, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = CaptioningModel(ModelSettings(encoder=ENCODER, decoder=DECODER), 13, 8, trained_stages=1)
    for parameter in model.parameters():
        parameter.data.normal_()
    settings = TrainSettings(lr=LR, encoder_lr=ENCODER_LR, weight_decay=DECAY, **train)
    return model, build_optimizer(model, settings)


def trained(model: CaptioningModel) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if not name.startswith("encoder.early.")}


def copies(model: CaptioningModel) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in trained(model).items()}


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_every_trained_weight_has_the_rate_of_its_part(name: str) -> None:
    model, optimizer = build(optimizer=name)
    rates = {id(p): group["base_lr"] for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(rates)  # each once
    assert rates == {id(p): ENCODER_LR if key.startswith("encoder.") else LR for key, p in trained(model).items()}


def test_frozen_weights_are_left_out() -> None:
    model, _ = build()
    model.decoder.words.requires_grad_(False)
    optimizer = build_optimizer(model, TrainSettings())
    there = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert there == {id(p) for name, p in trained(model).items() if name != "decoder.words.weight"}


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_what_decays(name: str) -> None:
    """Where the gradient is 0 nothing moves but by decay: with AdamW biases and norms stay."""
    model, optimizer = build(optimizer=name)
    before = copies(model)
    for parameter in trained(model).values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    still = {key for key, parameter in trained(model).items() if torch.equal(parameter, before[key])}
    vectors = {key for key, parameter in trained(model).items() if parameter.ndim == 1}
    assert still == (vectors if name == "adamw" else set())
    assert {"decoder.output.bias", "decoder.attention.of_hidden.bias"} < vectors
    assert any(key.startswith("encoder.late.") and "bn" in key for key in vectors)
    assert not {"decoder.words.weight", "decoder.output.weight"} & vectors


def sgd(before: Tensor, gradients: list[Tensor], lr: float, decay: float) -> Tensor:
    moving = torch.zeros_like(before)
    for gradient in gradients:
        moving = 0.8 * moving + gradient + decay * before
        before = before - lr * moving
    return before


def adam(before: Tensor, gradients: list[Tensor], lr: float, decay: float) -> Tensor:
    return _adam(before, gradients, lr, decay, 0, 0.999)


def adamw(before: Tensor, gradients: list[Tensor], lr: float, decay: float) -> Tensor:
    return _adam(before, gradients, lr, 0, decay if before.ndim > 1 else 0, 0.98)


def _adam(before: Tensor, gradients: list[Tensor], lr: float, l2: float, decoupled: float, beta: float) -> Tensor:
    """Algorithm 2 of Loshchilov & Hutter 2019, whose two kinds of decay are marked there in colours."""
    m, v = torch.zeros_like(before), torch.zeros_like(before)
    for t, gradient in enumerate(gradients, start=1):
        g = gradient + l2 * before
        m, v = 0.9 * m + 0.1 * g, beta * v + (1 - beta) * g * g
        step = (m / (1 - 0.9**t)) / (v.sqrt() / math.sqrt(1 - beta**t) + 1e-8)
        before = before - lr * (step + decoupled * before)
    return before


@pytest.mark.parametrize("rule", [adamw, adam, sgd])
def test_two_steps_by_hand(rule: Callable[..., Tensor]) -> None:
    model, optimizer = build(optimizer=rule.__name__, momentum=0.8)
    before = copies(model)
    gradients = [{name: torch.randn_like(tensor) for name, tensor in before.items()} for _ in range(2)]
    for gradient in gradients:
        for name, parameter in trained(model).items():
            parameter.grad = gradient[name]
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * 0.5  # as the loop does
        optimizer.step()
    for name, parameter in trained(model).items():
        lr = 0.5 * (ENCODER_LR if name.startswith("encoder.") else LR)
        expected = rule(before[name], [gradient[name] for gradient in gradients], lr, DECAY)
        torch.testing.assert_close(parameter.detach(), expected, msg=lambda text, name=name: f"{name}: {text}")
