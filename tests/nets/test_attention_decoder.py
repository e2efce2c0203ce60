"""The attending decoder against a plain loop over the equations of Xu et al. 2015, one image, caption, word and region
at a time; the cells themselves are held against torch's in `test_cells`."""

import pytest
import torch
from tests.rounding import log_softmax_bound
from torch import Tensor, nn
from torch.func import functional_call

from showtell.nets.attention_decoder import AttentionDecoder
from showtell.settings import AttentionSettings

SIZES = {"width": 9, "embedding_dim": 8, "attention_dim": 10, "dropout": 0.4}
FORMS = {
    "show, attend and tell": AttentionSettings(**SIZES),
    "tanh, two layers": AttentionSettings(**SIZES, energy="tanh", gate=False, initial_state="zeros", layers=2),
    "gru": AttentionSettings(**SIZES, cell="gru", layers=2),
    "rnn, no gate": AttentionSettings(**SIZES, cell="rnn", gate=False),
    "hard": AttentionSettings(**SIZES, hard=True),
}
CHANNELS, REGIONS, VOCABULARY = 6, 5, 11


def build(settings: AttentionSettings) -> AttentionDecoder:
    torch.manual_seed(0)
    decoder = AttentionDecoder(settings, CHANNELS, VOCABULARY).double()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder.eval()


@pytest.fixture(params=FORMS)
def settings(request: pytest.FixtureRequest) -> AttentionSettings:
    return FORMS[request.param]


@pytest.fixture
def decoder(settings: AttentionSettings) -> AttentionDecoder:
    return build(settings)


@pytest.fixture
def plain() -> AttentionDecoder:
    return build(FORMS["show, attend and tell"])


@pytest.fixture
def regions() -> Tensor:
    return torch.randn(2, REGIONS, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (2, 3, 6), generator=torch.Generator().manual_seed(2))


def logits_of(decoder: AttentionDecoder, regions: Tensor, tokens: Tensor) -> Tensor:
    return decoder.logits(decoder(tokens, decoder.encode_memory(regions)).hidden)


def reference(
    decoder: AttentionDecoder, settings: AttentionSettings, photo: Tensor, words: list[int]
) -> tuple[list[Tensor], list[Tensor]]:
    """One caption of one image: the logits [V] and the weights [S] of every word."""
    w = dict(decoder.named_parameters())

    def affine(name: str, x: Tensor) -> Tensor:
        return w[f"{name}.weight"] @ x + w.get(f"{name}.bias", torch.zeros(1).double())

    mean = sum(photo) / len(photo)
    names = ("hidden", "cell") if settings.cell == "lstm" else ("hidden",)
    state = {
        name: affine(f"state_projections.{name}", mean).split(
            settings.width
        )  # section 3.1.2, "predicted by an average"
        if settings.initial_state == "mean"
        else [torch.zeros(settings.width).double()] * settings.layers
        for name in names
    }
    all_logits, all_alphas = [], []
    for word in words:
        h = state["hidden"][-1]
        inside = [affine("attention.encoder_att", a) + affine("attention.decoder_att", h) for a in photo]
        inside = [x.relu() if settings.energy == "relu" else x.tanh() for x in inside]
        e = torch.stack([affine("attention.energy", x) for x in inside]).squeeze(1)  # equation 4
        alpha = e.exp() / e.exp().sum()  # equation 5
        z = sum(weight * a for weight, a in zip(alpha, photo, strict=True))  # equation 13
        if settings.hard:
            z = photo[max(range(REGIONS), key=lambda s: float(alpha[s]))]
        if settings.gate:
            z = z / (1 + (-affine("gate", h)).exp())  # section 4.2.1
        x = torch.cat([w["token_embedding.weight"][word], z])
        after = []
        for layer, cell in enumerate(decoder.recurrence.layers):
            after.append(cell(x, {name: state[name][layer] for name in names}))
            x = after[-1]["hidden"]
        state = {name: [each[name] for each in after] for name in names}
        all_logits.append(affine("output", x))
        all_alphas.append(alpha)
    return all_logits, all_alphas


def test_equals_the_equations(
    decoder: AttentionDecoder, settings: AttentionSettings, regions: Tensor, tokens: Tensor
) -> None:
    taught = decoder(tokens, decoder.encode_memory(regions))
    logits = decoder.logits(taught.hidden)
    assert logits.shape == (2, 3, 6, VOCABULARY) and taught.attention.shape == (2, 3, 6, REGIONS)
    for b, photo in enumerate(regions):
        for n in range(3):
            expected_logits, expected_alphas = reference(decoder, settings, photo, tokens[b, n].tolist())
            torch.testing.assert_close(logits[b, n], torch.stack(expected_logits), rtol=0, atol=1e-12)
            torch.testing.assert_close(taught.attention[b, n], torch.stack(expected_alphas), rtol=0, atol=1e-12)


def test_gradients_equal_those_of_the_equations(
    decoder: AttentionDecoder, settings: AttentionSettings, regions: Tensor, tokens: Tensor
) -> None:
    regions.requires_grad_()
    # What hard attention looks at has no gradient; see `hard_attention_loss`.
    wanted = [regions, *(p for name, p in decoder.named_parameters() if not (settings.hard and "attention" in name))]
    expected = torch.stack(
        [
            torch.stack([torch.stack(reference(decoder, settings, photo, ids)[0]) for ids in rows])
            for photo, rows in zip(regions, tokens.tolist(), strict=True)
        ]
    )
    direction = torch.randn_like(expected)
    found = torch.autograd.grad((logits_of(decoder, regions, tokens) * direction).sum(), wanted)
    for one, other in zip(found, torch.autograd.grad((expected * direction).sum(), wanted), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_without_attention_it_is_torchs_lstm(plain: AttentionDecoder, regions: Tensor, tokens: Tensor) -> None:
    """A closed gate lets nothing of the photo in: an LSTM over the words alone is left."""
    cell, width = plain.recurrence.layers[0], SIZES["embedding_dim"]
    with torch.no_grad():
        plain.gate.weight.zero_()
        plain.gate.bias.fill_(-1e4)
        lstm = nn.LSTM(width, SIZES["width"], batch_first=True).double()
        lstm.load_state_dict(
            {
                "weight_ih_l0": cell.input.weight[:, :width],
                "weight_hh_l0": cell.hidden.weight,
                "bias_ih_l0": cell.input.bias,
                "bias_hh_l0": cell.hidden.bias,
            }
        )
        memory = plain.encode_memory(regions)
        first = [memory[name].repeat_interleave(3, 0).transpose(0, 1) for name in ("hidden", "cell")]
        hidden, _ = lstm(plain.token_embedding(tokens.flatten(0, 1)), tuple(first))
        torch.testing.assert_close(plain(tokens, memory).hidden.flatten(0, 1), hidden, rtol=0, atol=1e-12)


def test_gradcheck(plain: AttentionDecoder, regions: Tensor, tokens: Tensor) -> None:
    names, parameters = zip(*plain.named_parameters(), strict=True)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = plain

        def forward(self, photo: Tensor) -> Tensor:
            return logits_of(self.decoder, photo, tokens[:1, :2, :3])

    def logits(photo: Tensor, *weights: Tensor) -> Tensor:
        return functional_call(Whole(), {f"decoder.{n}": w for n, w in zip(names, weights, strict=True)}, (photo,))

    photo = regions[:1].requires_grad_()
    assert torch.autograd.gradcheck(logits, (photo, *parameters), fast_mode=True)
    assert torch.autograd.gradcheck(lambda photo: logits(photo, *parameters), (photo,))


def test_regions_have_no_places(decoder: AttentionDecoder, regions: Tensor, tokens: Tensor) -> None:
    turned = decoder(tokens, decoder.encode_memory(regions.flip(1)))
    straight = decoder(tokens, decoder.encode_memory(regions))
    torch.testing.assert_close(turned.hidden, straight.hidden)
    torch.testing.assert_close(turned.attention, straight.attention.flip(-1))


def test_dropout_acts_in_training_only(decoder: AttentionDecoder, regions: Tensor, tokens: Tensor) -> None:
    assert torch.equal(logits_of(decoder, regions, tokens), logits_of(decoder, regions, tokens))
    hidden = decoder.train()(tokens, decoder.encode_memory(regions)).hidden
    assert 0.2 < (hidden == 0).double().mean() < 0.6


def test_hard_attention_looks_at_one_sampled_region(regions: Tensor, tokens: Tensor) -> None:
    decoder = build(FORMS["hard"]).train()
    memory = decoder.encode_memory(regions)
    hidden = torch.randn(2, 2000, SIZES["width"], dtype=torch.float64)[:, :1].expand(-1, 2000, -1)
    queries = decoder.attention.decoder_att(hidden[:, :1]).unsqueeze(2)
    energies = decoder.attention.energy(decoder.attention.activation(queries + memory["keys"].unsqueeze(1)))
    look = decoder.attention(hidden, memory["keys"], memory["regions"])
    same = (look.context.unsqueeze(2) == regions.unsqueeze(1)).all(-1)  # [B, K, S]
    assert (same.sum(-1) == 1).all()
    torch.testing.assert_close(same.double().mean(1), look.weights[:, 0], rtol=0, atol=0.04)  # 3 sigma of 2000 draws
    # In float32, whatever the network computes in; a log-softmax does not change what it is taken of.
    bound = log_softmax_bound(energies.squeeze(-1).detach().numpy())
    expected = (look.weights.log() * same).sum(-1)
    torch.testing.assert_close(look.region_log_prob.double(), expected, rtol=0, atol=bound)
    assert decoder(tokens, memory).region_log_prob.shape == (2, 3, 6)
    assert decoder.eval()(tokens, memory).region_log_prob is None
