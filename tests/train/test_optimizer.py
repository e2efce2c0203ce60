"""The optimiser's rules against torch's formulas, written out."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import AttentionSettings, EncoderSettings, ModelSettings, PixelOverrides, TrainSettings
from showtell.train.optimizer import build_optimizer

DECODER = AttentionSettings(width=12, embedding_dim=10, attention_dim=9, hard=True)
ENCODER = EncoderSettings(name="test_resnet", pretrained=False, pixels=PixelOverrides(size=32))
LR, ENCODER_LR, DECAY = 0.05, 0.007, 0.3


def build(
    trained_stages: int = 1, encoder: EncoderSettings = ENCODER, **train: object
) -> tuple[CaptioningModel, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = CaptioningModel(ModelSettings(encoder=encoder, decoder=DECODER), 13, 8, trained_stages)
    for parameter in model.double().parameters():
        parameter.data.normal_()
    settings = TrainSettings(lr=LR, encoder_lr=ENCODER_LR, weight_decay=DECAY, **train)
    return model, build_optimizer(model, settings)


def trained(model: CaptioningModel) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if not name.startswith("encoder.frozen.")}


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
    model.decoder.token_embedding.requires_grad_(False)
    optimizer = build_optimizer(model, TrainSettings())
    there = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert there == {id(p) for name, p in trained(model).items() if name != "decoder.token_embedding.weight"}


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
    assert {"decoder.output.bias", "decoder.attention.decoder_att.bias"} < vectors
    assert any(key.startswith("encoder.trainable.") and "bn" in key for key in vectors)
    assert not {"decoder.token_embedding.weight", "decoder.output.weight"} & vectors


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


# --- a rate for each stage of the encoder


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_earlier_stages_move_less(name: str) -> None:
    """Equal gradients for all, and a first step of each rule: the rate times the gradient, or its sign."""
    model, optimizer = build(3, optimizer=name, layer_decay=0.5)
    for parameters in optimizer.param_groups:
        parameters |= {"lr": parameters["base_lr"], "weight_decay": 0}
    before = copies(model)
    for parameter in trained(model).values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    rates = {
        "encoder.trainable.2.": ENCODER_LR,
        "encoder.trainable.1.": ENCODER_LR / 2,
        "encoder.trainable.0.": ENCODER_LR / 4,
    }
    found = dict.fromkeys([*rates, "decoder."], 0)
    for key, parameter in trained(model).items():
        (part,) = [part for part in found if key.startswith(part)]
        found[part] += 1
        step = torch.full_like(parameter, rates.get(part, LR))
        moved = before[key] - parameter.detach()
        torch.testing.assert_close(moved, step, rtol=1e-7, atol=1e-12)  # Adam adds 1e-8 to a root of 1
    assert all(found.values())  # each stage has weights, so that the loop above has looked at it


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_each_weight_is_in_one_group_and_biases_apart(decay: float) -> None:
    model, optimizer = build(4, layer_decay=decay)
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, trained(model).values()))
    assert all(len({p.ndim > 1 for p in group["params"]}) == 1 for group in optimizer.param_groups)
    assert all((group["weight_decay"] > 0) == (group["params"][0].ndim > 1) for group in optimizer.param_groups)
    assert len(optimizer.param_groups) == (4 if decay == 1 else 2 + 2 * 4)


@pytest.mark.parametrize("stages", [0, 1, 5])
def test_with_one_rate_for_all_the_groups_are_as_in_older_runs(stages: int) -> None:
    """A run's state counts weights in this order: decoder, then encoder, matrices before vectors."""
    model, optimizer = build(stages)
    parts = [list(model.decoder.parameters()), list(model.encoder.trainable.parameters())]
    expected = [[p for p in part if (p.ndim > 1) == matrices] for part in parts for matrices in (True, False)]
    found = [[id(p) for p in group["params"]] for group in optimizer.param_groups]
    assert found == [[id(p) for p in group] for group in expected if group]
    rates = [group["base_lr"] for group in optimizer.param_groups]
    assert rates == [LR, LR, ENCODER_LR, ENCODER_LR][: len(rates)] and len(rates) == (4 if stages else 2)


def test_a_stage_without_weights_is_none() -> None:
    model, _ = build(2)
    model.encoder.trainable.append(nn.ReLU())
    model.encoder.trainable.insert(1, nn.MaxPool2d(2))
    optimizer = build_optimizer(model, TrainSettings(lr=LR, encoder_lr=ENCODER_LR, layer_decay=0.1))
    rates = {id(p): group["base_lr"] for group in optimizer.param_groups for p in group["params"]}
    first, _, last, _ = model.encoder.trainable
    assert {rates[id(p)] for p in last.parameters()} == {ENCODER_LR}
    assert {rates[id(p)] for p in first.parameters()} == {ENCODER_LR * 0.1}


@pytest.mark.parametrize("layer", ["regions", "pooled"])
def test_the_mean_of_the_regions_is_no_stage(layer: str) -> None:
    _, optimizer = build(2, ENCODER.model_copy(update={"layer": layer}), layer_decay=0.5)
    rates = [group["base_lr"] for group in optimizer.param_groups]
    assert rates == [LR] * 2 + [ENCODER_LR / 2] * 2 + [ENCODER_LR] * 2


@pytest.mark.parametrize(
    "encoder", [ENCODER, EncoderSettings(name="features", channels=6)], ids=["frozen", "given features"]
)
def test_without_trained_stages_the_decay_means_nothing(encoder: EncoderSettings) -> None:
    _, optimizer = build(0, encoder, layer_decay=0.5)
    assert [group["base_lr"] for group in optimizer.param_groups] == [LR] * 2
