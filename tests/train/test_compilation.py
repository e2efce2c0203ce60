"""Whatever is compiled computes the same, and does so for every length without being compiled anew."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from tests.tiny_decoders import attention, recurrent, transformer
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from showtell.errors import BadConfig
from showtell.nets.captioning_model import build_decoder
from showtell.nets.decoder import Decoder, DecoderOutput, Sizes
from showtell.settings import DecoderSettings
from showtell.train.compilation import compile_decoder

CHANNELS, REGIONS, VOCABULARY, LONGEST = 6, 5, 11, 20
KINDS: dict[str, DecoderSettings] = {
    "recurrent": recurrent("lstm", "first_input", layers=2),
    "attention": attention("lstm", dropout=0.0),
    "transformer": transformer(layers=1, dropout=0.0),
}
LENGTHS = [(3, 5), (3, 7), (4, 4), (2, 12), (4, 6), (3, 3), (3, 20), (4, 9), (2, 8), (3, 10), (3, 11), (3, 13), (3, 14)]
"""Photos and words: the last batch of an epoch is smaller, and captions are of any length."""


def build(kind: str) -> Decoder:
    torch.manual_seed(0)
    decoder = build_decoder(KINDS[kind], Sizes(CHANNELS, REGIONS, VOCABULARY, LONGEST))
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder.double().train()


def compiled_with(monkeypatch: pytest.MonkeyPatch, decoder: Decoder, backend: Any) -> Decoder:
    """A compiled copy."""
    torch._dynamo.reset()
    other = copy.deepcopy(decoder)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "compile", partial(torch.compile, backend=backend))
        compile_decoder(other)
    return other


def outcome(decoder: Decoder, photos: int, words: int, read: Callable[..., DecoderOutput]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(words)
    regions = torch.randn(photos, REGIONS, CHANNELS, dtype=torch.float64, generator=generator)
    tokens = torch.randint(1, VOCABULARY, (photos, 1, words), generator=generator)
    decoder.zero_grad()
    taught = read(decoder)(tokens, memory=decoder.encode_memory(regions))
    decoder.logits(taught.hidden).square().mean().backward()
    looked = {} if taught.attention is None else {"attention": taught.attention}
    return {"hidden": taught.hidden, **looked, **{name: p.grad for name, p in decoder.named_parameters()}}


def teacher_forced(decoder: Decoder) -> Callable[..., DecoderOutput]:
    return decoder


def own_words(decoder: Decoder) -> Callable[..., DecoderOutput]:
    return lambda tokens, memory: decoder.unroll(tokens, memory, [t % 3 == 0 for t in range(tokens.shape[2])])


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        text = f"{name}: {{}}"
        torch.testing.assert_close(found[name], tensor, rtol=1e-9, atol=1e-12, msg=text.format)


@pytest.mark.parametrize("read", [teacher_forced, own_words])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_for_all_lengths_and_compiled_but_a_few_times(
    monkeypatch: pytest.MonkeyPatch, kind: str, read: Callable[..., Any]
) -> None:
    plain = build(kind)
    counter = CompileCounterWithBackend("eager")
    compiled = compiled_with(monkeypatch, plain, counter)
    for photos, words in LENGTHS:
        same(outcome(compiled, photos, words, read), outcome(plain, photos, words, read))
    # torch's fused kernels are no compiler's business, and a Transformer is compiled as a whole.
    untouched = {("recurrent", teacher_forced), ("transformer", own_words)}
    if (kind, read) in untouched:
        assert counter.frame_count == 0
    else:
        assert 1 <= counter.frame_count <= 4


@pytest.mark.long
def test_the_real_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build("attention")
    compiled = compiled_with(monkeypatch, plain, "inductor")
    # One length: another one would be compiled anew, which the test above counts.
    same(outcome(compiled, 3, 4, teacher_forced), outcome(plain, 3, 4, teacher_forced))


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_weights_stay_and_validation_is_not_compiled(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    plain = build(kind)

    def refuse(graph: object, inputs: object) -> object:
        raise AssertionError("compiled")

    compiled = compiled_with(monkeypatch, plain, refuse).eval()
    assert list(compiled.state_dict()) == list(plain.state_dict())
    plain.eval()
    for read in (teacher_forced, own_words):
        same(outcome(compiled, 2, 4, read), outcome(plain, 2, 4, read))


@pytest.mark.parametrize("kind", ["attention", "transformer"])
def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def no_compiler(graph: object, inputs: object) -> object:
        raise RuntimeError("no C++ compiler here\nwith a second line")

    compiled = compiled_with(monkeypatch, build(kind), no_compiler)
    with pytest.raises(BadConfig) as caught:
        outcome(compiled, 2, 4, teacher_forced)
    message = str(caught.value)
    assert "\n" not in message and "no C++ compiler here" in message and "raised:" not in message
    assert message.startswith("torch.compile failed (") and message.endswith("; train.compile=false trains without it")
    assert isinstance(caught.value.__cause__, torch._dynamo.exc.TorchDynamoException)
