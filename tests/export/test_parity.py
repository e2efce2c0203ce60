"""The parity check refuses whatever is no rounding, and nothing else. In place of ONNX Runtime stands another model."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from torch import nn

from showtell.config import parse_recipe
from showtell.core.imported_tokenizer import ImportedTokenizer
from showtell.core.tokenizer import Tokenizer
from showtell.errors import ExportMismatch
from showtell.export.parity import Parity, compare
from showtell.export.samples import sample_pixels
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.settings import DecodeSettings, ImportedText, Recipe

TOKENIZER = Tokenizer.build(["a red dog runs on the green grass", "two dogs sit by a small blue boat"], ["en"], 1)
DECODERS = {
    "transformer": {"kind": "transformer", "width": 64, "layers": 2, "heads": 4, "ffn_dim": 64},
    "attention": {"kind": "attention", "width": 64, "embedding_dim": 32, "attention_dim": 48},
    "hard attention": {"kind": "attention", "width": 64, "embedding_dim": 32, "attention_dim": 48, "hard": True},
    "recurrent": {"kind": "recurrent", "width": 64, "embedding_dim": 32},
}
EPSILON = torch.finfo(torch.float32).eps


def recipe(decoder: str) -> Recipe:
    raw = {
        "model": {
            "encoder": {"name": "test_efficientnet", "pretrained": False, "pixels": {"size": 64}},
            "decoder": DECODERS[decoder],
        },
        "decode": {"beam_size": 3, "max_length": 8},
    }
    return parse_recipe(raw, "test")


def build(decoder: str) -> CaptioningModel:
    """Of random weights so lively that words differ between images, with statistics of what it sees."""
    torch.manual_seed(0)
    model = CaptioningModel(recipe(decoder).model, TOKENIZER.vocab_size, 10)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        for module in model.encoder.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
                module.train()
        model.encode(torch.from_numpy(sample_pixels(model.encoder.pixels)))
    return model.eval()


def prompted(prompt: str) -> ImportedTokenizer:
    """The same vocabulary, as an imported model has it, with a default prompt."""
    text = ImportedText(
        bos_ids=tuple(TOKENIZER.prompt_ids("en")),
        eos_id=TOKENIZER.eos_id,
        banned_ids=tuple(TOKENIZER.banned_ids),
        takes_prompt=True,
        prompt=prompt,
    )
    return ImportedTokenizer(Backend.from_str(TOKENIZER.backend.to_str()), ["en"], text)


def checked(decoder: str, model: CaptioningModel, other: Any) -> Parity:
    return compare(model, other, sample_pixels(model.encoder.pixels), TOKENIZER, recipe(decoder).decode)


class OtherKernels(TorchStepper):
    """Without oneDNN."""

    def encode(self, pixels: Any) -> Any:
        with torch.backends.mkldnn.flags(enabled=False):
            return super().encode(pixels)

    def step(self, tokens: Any, state: Any, best: int | None = None) -> Any:
        with torch.backends.mkldnn.flags(enabled=False):
            return super().step(tokens, state, best)


def noisy(model: CaptioningModel) -> TorchStepper:
    """Every layer's output is off by another float32 rounding, at random."""
    generator = torch.Generator().manual_seed(1)

    def disturb(module: nn.Module, inputs: object, output: Any) -> Any:
        if not isinstance(output, torch.Tensor):
            return output
        return output * (1 + EPSILON * torch.randn(output.shape, generator=generator))

    other = copy.deepcopy(model)
    for module in other.modules():
        if not list(module.children()):
            module.register_forward_hook(disturb)
    return TorchStepper(other)


@pytest.mark.filterwarnings("ignore:TF32")
@pytest.mark.parametrize("rounded", [OtherKernels, noisy])
@pytest.mark.parametrize("decoder", DECODERS)
def test_other_rounding_is_let_through(decoder: str, rounded: Callable[[CaptioningModel], TorchStepper]) -> None:
    model = build(decoder)
    parity = checked(decoder, model, rounded(model))
    assert parity.images == 8 and parity.same >= 7  # one near tie at most
    assert "torch and ONNX write the same on" in str(parity)


def one_weight(model: CaptioningModel) -> None:
    """The largest one, which cannot be without effect, by a hundredth."""
    with torch.no_grad():
        weight = next(p for p in model.encoder.parameters() if p.ndim == 4)
        weight[np.unravel_index(int(weight.abs().argmax()), weight.shape)] *= 1.01


def one_weight_of_the_decoder(model: CaptioningModel) -> None:
    with torch.no_grad():
        parameters = dict(model.decoder.named_parameters())
        weight = parameters.get("output.weight", parameters["token_embedding.weight"])
        weight[TOKENIZER.eos_id, 3] += 0.01


def epsilon_of_batch_norm(model: CaptioningModel) -> None:
    """TensorFlow's in place of torch's."""
    for module in model.encoder.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eps = 1e-3


def epsilon_of_layer_norm(model: CaptioningModel) -> None:
    for module in model.decoder.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-3


def no_gate(model: CaptioningModel) -> None:
    model.decoder.gate = None


def no_residual(model: CaptioningModel) -> None:
    model.decoder.layers[0].add_residual = lambda x, update, norm: update


def position_one_behind(model: CaptioningModel) -> None:
    with torch.no_grad():
        model.decoder.position_embedding.copy_(model.decoder.position_embedding.roll(1, 0))


FAULTS = [
    *((name, one_weight) for name in DECODERS),
    *((name, one_weight_of_the_decoder) for name in DECODERS),
    *((name, epsilon_of_batch_norm) for name in DECODERS),
    ("transformer", epsilon_of_layer_norm),
    ("transformer", no_residual),
    ("transformer", position_one_behind),
    ("attention", no_gate),
]


@pytest.mark.parametrize(("decoder", "fault"), FAULTS)
def test_a_fault_is_refused(decoder: str, fault: Callable[[CaptioningModel], None]) -> None:
    model = build(decoder)
    wrong = copy.deepcopy(model)
    fault(wrong)
    with pytest.raises(ExportMismatch) as raised:
        checked(decoder, model, TorchStepper(wrong))
    message = str(raised.value)
    assert message.startswith("sample image ") and "\n" not in message
    assert "differ by" in message and "expected at most" in message and "nothing was written" in message


@pytest.mark.parametrize("decoder", ["transformer", "attention"])
def test_captions_with_a_prompt_that_break_off_are_compared(decoder: str) -> None:
    """Start, two words and nine tokens, the last of which is never read, need all of the eleven positions."""
    model, tokenizer = build(decoder), prompted("a red")
    pixels = sample_pixels(model.encoder.pixels)
    settings = DecodeSettings(beam_size=3, min_length=9, max_length=9, truncate=True, no_repeat_ngram_size=0)
    parity = compare(model, noisy(model), pixels, tokenizer, settings)
    assert parity.images == 8 and 0 < parity.largest < 1e-2
    wrong = copy.deepcopy(model)
    one_weight_of_the_decoder(wrong)
    with pytest.raises(ExportMismatch, match="sample image "):
        compare(model, TorchStepper(wrong), pixels, tokenizer, settings)


def test_the_model_is_as_it_was() -> None:
    """It is compared in float64 in between."""
    model = build("attention")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    checked("attention", model, TorchStepper(copy.deepcopy(model)))
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype and torch.equal(tensor, before[name]), name


class WrongAttention(TorchStepper):
    def step(self, tokens: Any, state: Any, best: int | None = None) -> Any:
        step = super().step(tokens, state, best)
        return replace(step, attention=step.attention[..., ::-1])


class LosesItsBeams(TorchStepper):
    """Whatever beam a search goes on with, it has the state of the first."""

    def reorder(self, state: Any, images: Any, beams: Any) -> Any:
        return super().reorder(state, images, np.zeros_like(beams))


@pytest.mark.parametrize("stepper", [WrongAttention, LosesItsBeams])
def test_a_faulty_runtime_is_refused(stepper: type[TorchStepper]) -> None:
    model = build("attention")
    with pytest.raises(ExportMismatch, match="attention weights" if stepper is WrongAttention else "log-probabilities"):
        checked("attention", model, stepper(copy.deepcopy(model)))


def test_words_that_are_equally_likely_may_change_places() -> None:
    model = build("attention")
    one, other = TOKENIZER.tokens_to_ids(["dog", "boat"])
    with torch.no_grad():
        model.decoder.output.weight[other] = model.decoder.output.weight[one]
        model.decoder.output.bias[[one, other]] = 3.0
    parity = checked("attention", model, noisy(model))
    assert parity.same < parity.images == 8
