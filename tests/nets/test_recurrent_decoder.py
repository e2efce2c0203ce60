"""The decoder that sees the image once, against torch's own recurrent layers put together by hand."""

import pytest
import torch
from torch import Tensor, nn

from showtell.nets.recurrent_decoder import RecurrentDecoder
from showtell.settings import RecurrentSettings

CHANNELS, REGIONS, VOCABULARY, WIDTH, EMBEDDING = 6, 5, 11, 9, 8
TORCH_LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@pytest.fixture
def regions() -> Tensor:
    return torch.randn(2, REGIONS, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (2, 3, 6), generator=torch.Generator().manual_seed(2))


def build(**settings: object) -> RecurrentDecoder:
    torch.manual_seed(0)
    decoder = RecurrentDecoder(
        RecurrentSettings(width=WIDTH, embedding_dim=EMBEDDING, **settings), CHANNELS, VOCABULARY
    )
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder.double().eval()


def torch_layers(decoder: RecurrentDecoder, cell: str) -> nn.RNNBase:
    """torch's module with the decoder's weights."""
    layers = decoder.recurrence.layers
    theirs = TORCH_LAYERS[cell](EMBEDDING, WIDTH, num_layers=len(layers), batch_first=True).double()
    weights = {}
    for n, own in enumerate(layers):
        weights |= {f"weight_ih_l{n}": own.input.weight, f"weight_hh_l{n}": own.hidden.weight}
        none = torch.zeros_like(own.input.bias)
        weights |= {
            f"bias_ih_l{n}": own.input.bias,
            f"bias_hh_l{n}": none if own.hidden.bias is None else own.hidden.bias,
        }
    theirs.load_state_dict(weights)
    return theirs


def logits_of(decoder: RecurrentDecoder, regions: Tensor, tokens: Tensor) -> Tensor:
    return decoder.logits(decoder(tokens, decoder.encode_memory(regions)).hidden)


@pytest.mark.parametrize("cell", TORCH_LAYERS)
def test_the_image_is_the_first_input(cell: str, regions: Tensor, tokens: Tensor) -> None:
    """Vinyals et al. 2015, equations 10 to 12: x_-1 = CNN(I), then the words."""
    decoder = build(cell=cell, image="first_input", layers=2, head=(10, 8))
    image = regions.mean(1)
    for number in (0, 3):  # Linear, ReLU, Dropout, Linear, ReLU
        image = torch.relu(decoder.head[number](image))
    image = decoder.image(image).repeat_interleave(3, 0)[:, None]
    sentence = torch.cat([image, decoder.token_embedding(tokens.flatten(0, 1))], 1)
    hidden, _ = torch_layers(decoder, cell)(sentence)
    expected = decoder.output(hidden[:, 1:]).unflatten(0, (2, 3))
    torch.testing.assert_close(logits_of(decoder, regions, tokens), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("cell", "biases", "layers"), [("rnn", 1, 1), ("lstm", 1, 1), ("lstm", 2, 2), ("gru", 2, 3)])
def test_the_image_is_the_first_state(cell: str, biases: int, layers: int, regions: Tensor, tokens: Tensor) -> None:
    decoder = build(cell=cell, image="initial_state", biases=biases, layers=layers)
    first = decoder.image(regions.mean(1)).view(2, layers, WIDTH).repeat_interleave(3, 0).transpose(0, 1).contiguous()
    state = (first, torch.zeros_like(first)) if cell == "lstm" else first
    hidden, _ = torch_layers(decoder, cell)(decoder.token_embedding(tokens.flatten(0, 1)), state)
    expected = decoder.output(hidden).unflatten(0, (2, 3))
    torch.testing.assert_close(logits_of(decoder, regions, tokens), expected, rtol=0, atol=1e-12)


def test_a_vector_is_one_region(regions: Tensor, tokens: Tensor) -> None:
    decoder = build(image="initial_state")
    vector = regions.mean(1, keepdim=True)
    torch.testing.assert_close(logits_of(decoder, vector, tokens), logits_of(decoder, regions, tokens))


@pytest.mark.parametrize("rate", ["dropout", "embedding_dropout"])
def test_dropout_acts_in_training_only(rate: str, regions: Tensor, tokens: Tensor) -> None:
    decoder = build(image="first_input", **{rate: 0.5})
    assert torch.equal(logits_of(decoder, regions, tokens), logits_of(decoder, regions, tokens))
    decoder.train()
    assert not torch.equal(logits_of(decoder, regions, tokens), logits_of(decoder, regions, tokens))


def test_one_bias_is_one_vector_less_per_layer() -> None:
    one, two = (sum(p.numel() for p in build(cell="lstm", biases=n, layers=2).parameters()) for n in (1, 2))
    assert two - one == 2 * 4 * WIDTH
