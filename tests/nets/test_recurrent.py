"""The attention-LSTM against a plain loop over the equations of Xu et al. 2015, one image, caption, word and region at
a time."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from showtell.config import AttentionLSTMSettings
from showtell.nets.recurrent import AttentionLSTM

SETTINGS = AttentionLSTMSettings(width=9, embedding=8, attention=10, dropout=0.4)
CHANNELS, REGIONS, VOCABULARY = 6, 5, 11


@pytest.fixture
def decoder() -> AttentionLSTM:
    torch.manual_seed(0)
    decoder = AttentionLSTM(SETTINGS, CHANNELS, VOCABULARY).double()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder.eval()


@pytest.fixture
def regions() -> Tensor:
    return torch.randn(2, REGIONS, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (2, 3, 6), generator=torch.Generator().manual_seed(2))


def logits_of(decoder: AttentionLSTM, regions: Tensor, tokens: Tensor) -> Tensor:
    return decoder.logits(decoder.teach(tokens, decoder.memory(regions)).hidden)


def reference(decoder: AttentionLSTM, photo: Tensor, words: list[int]) -> tuple[list[Tensor], list[Tensor]]:
    """One caption of one image: the logits [V] and the weights [S] of every word."""
    w = dict(decoder.named_parameters())

    def affine(name: str, x: Tensor) -> Tensor:
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    mean = sum(photo) / len(photo)
    h, c = affine("first_hidden", mean), affine("first_cell", mean)  # section 3.1.2, "predicted by an average"
    all_logits, all_alphas = [], []
    for word in words:
        e = torch.stack(
            [
                affine(
                    "attention.energy", (affine("attention.of_regions", a) + affine("attention.of_hidden", h)).relu()
                )
                for a in photo
            ]
        ).squeeze(1)  # equation 4
        alpha = e.exp() / e.exp().sum()  # equation 5
        beta = 1 / (1 + (-affine("gate", h)).exp())  # section 4.2.1
        z = beta * sum(weight * a for weight, a in zip(alpha, photo, strict=True))  # equation 13
        x = torch.cat([w["words.weight"][word], z])
        gates = w["cell.weight_ih"] @ x + w["cell.bias_ih"] + w["cell.weight_hh"] @ h + w["cell.bias_hh"]
        i, f, g, o = gates.split(SETTINGS.width)  # equation 1, in torch's order
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()  # equation 2
        h = o.sigmoid() * c.tanh()  # equation 3
        all_logits.append(affine("output", h))
        all_alphas.append(alpha)
    return all_logits, all_alphas


def test_equals_the_equations(decoder: AttentionLSTM, regions: Tensor, tokens: Tensor) -> None:
    taught = decoder.teach(tokens, decoder.memory(regions))
    logits = decoder.logits(taught.hidden)
    assert logits.shape == (2, 3, 6, VOCABULARY) and taught.attention.shape == (2, 3, 6, REGIONS)
    for b, photo in enumerate(regions):
        for n in range(3):
            expected_logits, expected_alphas = reference(decoder, photo, tokens[b, n].tolist())
            torch.testing.assert_close(logits[b, n], torch.stack(expected_logits), rtol=0, atol=1e-12)
            torch.testing.assert_close(taught.attention[b, n], torch.stack(expected_alphas), rtol=0, atol=1e-12)


def test_gradients_equal_those_of_the_equations(decoder: AttentionLSTM, regions: Tensor, tokens: Tensor) -> None:
    regions.requires_grad_()
    wanted = [regions, *decoder.parameters()]
    expected = torch.stack(
        [
            torch.stack([torch.stack(reference(decoder, photo, ids)[0]) for ids in rows])
            for photo, rows in zip(regions, tokens.tolist(), strict=True)
        ]
    )
    direction = torch.randn_like(expected)
    found = torch.autograd.grad((logits_of(decoder, regions, tokens) * direction).sum(), wanted)
    for one, other in zip(found, torch.autograd.grad((expected * direction).sum(), wanted), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_without_attention_it_is_torchs_lstm(decoder: AttentionLSTM, regions: Tensor, tokens: Tensor) -> None:
    """A closed gate lets nothing of the photo in: an LSTM over the words alone is left."""
    with torch.no_grad():
        decoder.gate.weight.zero_()
        decoder.gate.bias.fill_(-1e4)
        lstm = nn.LSTM(SETTINGS.embedding, SETTINGS.width, batch_first=True).double()
        lstm.load_state_dict(
            {
                "weight_ih_l0": decoder.cell.weight_ih[:, : SETTINGS.embedding],
                "weight_hh_l0": decoder.cell.weight_hh,
                "bias_ih_l0": decoder.cell.bias_ih,
                "bias_hh_l0": decoder.cell.bias_hh,
            }
        )
        memory = decoder.memory(regions)
        first = [memory[name].repeat_interleave(3, 0)[None] for name in ("hidden", "cell")]
        hidden, _ = lstm(decoder.words(tokens.flatten(0, 1)), tuple(first))
        torch.testing.assert_close(decoder.teach(tokens, memory).hidden.flatten(0, 1), hidden, rtol=0, atol=1e-12)


def test_gradcheck(decoder: AttentionLSTM, regions: Tensor, tokens: Tensor) -> None:
    names, parameters = zip(*decoder.named_parameters(), strict=True)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = decoder

        def forward(self, photo: Tensor) -> Tensor:
            return logits_of(self.decoder, photo, tokens[:1, :2, :3])

    def logits(photo: Tensor, *weights: Tensor) -> Tensor:
        return functional_call(Whole(), {f"decoder.{n}": w for n, w in zip(names, weights, strict=True)}, (photo,))

    photo = regions[:1].requires_grad_()
    assert torch.autograd.gradcheck(logits, (photo, *parameters), fast_mode=True)
    assert torch.autograd.gradcheck(lambda photo: logits(photo, *parameters), (photo,))


def test_regions_have_no_places(decoder: AttentionLSTM, regions: Tensor, tokens: Tensor) -> None:
    turned = decoder.teach(tokens, decoder.memory(regions.flip(1)))
    straight = decoder.teach(tokens, decoder.memory(regions))
    torch.testing.assert_close(turned.hidden, straight.hidden)
    torch.testing.assert_close(turned.attention, straight.attention.flip(-1))


def test_dropout_acts_in_training_only(decoder: AttentionLSTM, regions: Tensor, tokens: Tensor) -> None:
    assert torch.equal(logits_of(decoder, regions, tokens), logits_of(decoder, regions, tokens))
    hidden = decoder.train().teach(tokens, decoder.memory(regions)).hidden
    assert 0.2 < (hidden == 0).double().mean() < 0.6


def test_number_of_parameters() -> None:
    """Worked out by hand for 768 channels, 9490 words and the default sizes of 512."""
    decoder = AttentionLSTM(AttentionLSTMSettings(), channels=768, vocabulary=9490)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 15_239_699
