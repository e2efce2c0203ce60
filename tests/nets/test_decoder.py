"""What every decoder promises, whatever it is made of."""

import pytest
import torch
from tests.tiny_decoders import DECODERS
from torch import Tensor, nn

from showtell.nets.captioning_model import build_decoder
from showtell.nets.decoder import Decoder, Sizes, Tensors
from showtell.nets.prefix_transformer_decoder import PrefixTransformerDecoder
from showtell.nets.recurrent_decoder import RecurrentDecoder

CHANNELS, REGIONS, VOCABULARY, LONGEST, PAD = 6, 5, 11, 8, 0


@pytest.fixture(params=DECODERS)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    decoder = build_decoder(DECODERS[request.param], Sizes(CHANNELS, REGIONS, VOCABULARY, LONGEST))
    decoder = decoder.double().eval().requires_grad_(False)
    torch.manual_seed(0)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder


@pytest.fixture
def memory(decoder: Decoder) -> Tensors:
    generator = torch.Generator().manual_seed(1)
    return decoder.encode_memory(torch.randn(3, REGIONS, CHANNELS, dtype=torch.float64, generator=generator))


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(1, VOCABULARY, (3, 4, LONGEST), generator=torch.Generator().manual_seed(2))


def logits(decoder: Decoder, tokens: Tensor, memory: Tensors) -> Tensor:
    return decoder.logits(decoder(tokens, memory).hidden)


def only(memory: Tensors, image: int) -> Tensors:
    return {name: tensor[image : image + 1] for name, tensor in memory.items()}


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_word_by_word_equals_all_at_once(decoder: Decoder, memory: Tensors, tokens: Tensor) -> None:
    taught = decoder(tokens, memory)
    expected = decoder.logits(taught.hidden)
    state = {name: rows.expand(-1, 4, *rows.shape[2:]) for name, rows in decoder.init_state(memory).items()}
    for t in range(LONGEST):
        found, state, attention = decoder.step(tokens[:, :, t], memory, state)
        close(found, expected[:, :, t])
        if taught.attention is None:
            assert attention is None
        else:
            close(attention, taught.attention[:, :, t])


@pytest.mark.parametrize("widths", [(1, 1, 1), (2, 1, 1)])
def test_slots_together_equal_each_alone(
    decoder: Decoder, memory: Tensors, tokens: Tensor, widths: tuple[int, ...]
) -> None:
    slots = [
        part[:, :, :length]
        for part, length in zip(tokens[:, : sum(widths)].split(widths, 1), (3, LONGEST, 5), strict=True)
    ]
    for found, slot in zip(decoder.forward_slots(slots, memory), slots, strict=True):
        expected = decoder(slot, memory)
        close(found.hidden, expected.hidden)
        assert (found.attention is None) == (expected.attention is None)
        if expected.attention is not None:
            close(found.attention, expected.attention)


def test_a_later_word_changes_no_earlier_logits(decoder: Decoder, memory: Tensors, tokens: Tensor) -> None:
    before = logits(decoder, tokens, memory)
    for t in range(1, LONGEST):
        changed = tokens.clone()
        changed[:, :, t] = changed[:, :, t] % (VOCABULARY - 1) + 1
        difference = (logits(decoder, changed, memory) - before).abs().amax((0, 1, 3))
        assert (difference[:t] == 0).all()
        assert (difference[t:] > 1e-6).all()  # but every later one: nothing is forgotten


def test_padding_changes_nothing(decoder: Decoder, memory: Tensors, tokens: Tensor) -> None:
    padded = tokens.clone()
    padded[:, :, 5:] = PAD
    close(logits(decoder, padded, memory)[:, :, :5], logits(decoder, tokens[:, :, :5], memory))


def test_captions_do_not_see_each_other(decoder: Decoder, memory: Tensors, tokens: Tensor) -> None:
    together = logits(decoder, tokens, memory)
    for image in range(3):
        for caption in range(4):
            alone = logits(decoder, tokens[image : image + 1, caption : caption + 1], only(memory, image))
            close(together[image, caption], alone[0, 0])


def test_images_do_not_see_each_other(decoder: Decoder) -> None:
    regions = torch.randn(3, REGIONS, CHANNELS, dtype=torch.float64)
    together = decoder.encode_memory(regions)
    for image in range(3):
        for name, tensor in decoder.encode_memory(regions[image : image + 1]).items():
            close(together[name][image], tensor[0])


def test_the_photo_matters(decoder: Decoder, memory: Tensors, tokens: Tensor) -> None:
    others = {name: tensor.roll(1, 0) for name, tensor in memory.items()}
    assert (logits(decoder, tokens, memory) - logits(decoder, tokens, others)).abs().max() > 0.01


def test_attention_is_a_distribution_over_regions(decoder: Decoder, memory: Tensors, tokens: Tensor) -> None:
    attention = decoder(tokens, memory).attention
    if isinstance(decoder, RecurrentDecoder):
        assert attention is None
        return
    assert attention.shape == (3, 4, LONGEST, REGIONS) and (attention >= 0).all()
    if isinstance(decoder, PrefixTransformerDecoder):  # the rest is on tokens, the first of which sees itself
        assert (attention.sum(-1) < 1).all()
    else:
        close(attention.sum(-1), torch.ones(3, 4, LONGEST, dtype=torch.float64))


def test_state_grows_where_it_says_so(decoder: Decoder, memory: Tensors, tokens: Tensor) -> None:
    """The export marks these dimensions, and no others, as changing from word to word."""
    state = decoder.init_state(memory)
    first = {name: tensor.shape for name, tensor in state.items()}
    for t in range(3):
        _, state, _ = decoder.step(tokens[:, :1, t], memory, state)
        assert list(state) == list(first)
        for name, tensor in state.items():
            cache_axes = decoder.cache_axes.get(name, ())
            expected = [t + 1 if d in cache_axes else size for d, size in enumerate(first[name])]
            assert list(tensor.shape) == expected
    assert set(decoder.cache_axes) <= set(first)
    assert all(tensor.shape[:2] == (3, 1) for tensor in decoder.init_state(memory).values())
    assert all(len(tensor) == 3 for tensor in memory.values())


def test_a_step_leaves_the_old_state_as_it_was(decoder: Decoder, memory: Tensors, tokens: Tensor) -> None:
    _, state, _ = decoder.step(tokens[:, :1, 0], memory, decoder.init_state(memory))
    kept = {name: tensor.clone() for name, tensor in state.items()}
    decoder.step(tokens[:, :1, 1], memory, state)
    assert all(torch.equal(state[name], kept[name]) for name in kept)
