"""Both kinds of attention against torch's own product and against loops over their equations."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from showtell.nets.attention import AdditiveAttention, dot_product_attention, prefixed_attention


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def causal(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()


@pytest.fixture(params=["relu", "tanh"])
def additive(request: pytest.FixtureRequest) -> AdditiveAttention:
    torch.manual_seed(0)
    return AdditiveAttention(channels=5, width=4, attention_dim=7, energy=request.param).double()


@pytest.mark.parametrize("mask", [None, causal(6)], ids=["free", "causal"])
def test_dot_product_equals_torch(mask: Tensor | None) -> None:
    queries, keys, values = random(2, 3, 6, 4), random(2, 3, 6, 4).flip(0), random(2, 3, 6, 4).flip(2)
    attended, weights = dot_product_attention(queries, keys, values, mask)
    expected = functional.scaled_dot_product_attention(queries, keys, values, mask)
    torch.testing.assert_close(attended, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(weights @ values, attended, rtol=0, atol=1e-12)


def test_dot_product_by_hand() -> None:
    queries = torch.tensor([[2.0, 0, 0, 0]], dtype=torch.float64)
    keys = torch.tensor([[math.log(3), 9, 9, 9], [0, 5, 5, 5]], dtype=torch.float64)
    attended, weights = dot_product_attention(queries, keys, torch.tensor([[1.0], [5.0]], dtype=torch.float64))
    torch.testing.assert_close(weights, torch.tensor([[0.75, 0.25]]).double())  # softmax of log(3) and 0
    torch.testing.assert_close(attended, torch.tensor([[2.0]]).double())


def test_masked_places_have_no_weight() -> None:
    _, weights = dot_product_attention(random(6, 4), random(6, 4), random(6, 4), causal(6))
    assert (weights[~causal(6)] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize("mask", [None, causal(6)], ids=["free", "causal"])
def test_prefixed_attention_equals_torch_on_copies_of_the_prefix(mask: Tensor | None) -> None:
    queries, keys, values = random(2, 3, 5, 6, 4), random(2, 3, 5, 6, 4).flip(0), random(2, 3, 5, 6, 4).flip(2)
    prefix_keys, prefix_values = random(2, 5, 7, 4), random(2, 5, 7, 4).flip(2)
    attended, weights = prefixed_attention(queries, prefix_keys, prefix_values, keys, values, mask)
    all_keys, all_values = (
        torch.cat([prefix.unsqueeze(1).expand(-1, 3, -1, -1, -1), own], 3)
        for prefix, own in ((prefix_keys, keys), (prefix_values, values))
    )
    allowed = torch.cat([torch.ones(6, 7, dtype=torch.bool), torch.ones(6, 6, dtype=torch.bool)], 1)
    if mask is not None:
        allowed[:, 7:] = mask
    expected = functional.scaled_dot_product_attention(queries, all_keys, all_values, allowed)
    torch.testing.assert_close(attended, expected, rtol=0, atol=1e-12)
    _, expected_weights = dot_product_attention(queries, all_keys, all_values, allowed)
    torch.testing.assert_close(weights, expected_weights[..., :7], rtol=0, atol=1e-12)


def test_dropout_of_prefixed_attention_is_on_all_weights_alike() -> None:
    torch.manual_seed(0)
    ones = torch.ones(1, 2, 9, 1, dtype=torch.float64)
    arguments = random(1, 3, 2, 50, 4), random(1, 2, 9, 4), ones, random(1, 3, 2, 9, 4), ones.expand(1, 3, 2, 9, 1)
    _, weights = prefixed_attention(*arguments)
    thinned, reported = prefixed_attention(*arguments, dropout=0.3)
    torch.testing.assert_close(reported, weights)
    assert (thinned != 1).all() and abs(thinned.mean() - 1) < 0.05


def test_dropout_thins_the_product_but_not_the_reported_weights() -> None:
    torch.manual_seed(0)
    queries, keys, ones = random(400, 4), random(9, 4), torch.ones(9, 1, dtype=torch.float64)
    whole, weights = dot_product_attention(queries, keys, ones)
    thinned, reported = dot_product_attention(queries, keys, ones, dropout=0.3)
    torch.testing.assert_close(reported, weights)
    torch.testing.assert_close(whole, torch.ones(400, 1, dtype=torch.float64))
    assert (thinned != 1).all()
    assert abs(thinned.mean() - 1) < 0.05  # what is left is scaled up


def test_additive_equals_loops_over_the_equations(additive: AdditiveAttention) -> None:
    hidden, regions = random(2, 3, 4), random(2, 6, 5)
    context, weights, _ = additive(hidden, additive.keys(regions), regions)
    assert context.shape == (2, 3, 5) and weights.shape == (2, 3, 6)
    own = {"decoder_att.bias": torch.zeros(7).double(), **dict(additive.named_parameters())}
    for b in range(2):
        for k in range(3):
            energies = torch.stack(
                [
                    own["energy.weight"][0]
                    @ additive.activation(
                        own["encoder_att.weight"] @ region
                        + own["encoder_att.bias"]
                        + own["decoder_att.weight"] @ hidden[b, k]
                        + own["decoder_att.bias"]
                    )
                    + own["energy.bias"][0]
                    for region in regions[b]
                ]
            )
            alphas = energies.exp() / energies.exp().sum()
            torch.testing.assert_close(weights[b, k], alphas)
            torch.testing.assert_close(
                context[b, k], sum(a * region for a, region in zip(alphas, regions[b], strict=True))
            )


@pytest.mark.parametrize("mask", [None, causal(3)], ids=["free", "causal"])
def test_gradients_of_dot_product(mask: Tensor | None) -> None:
    inputs = [random(2, 3, 4).add(i).sin().requires_grad_() for i in range(3)]
    assert torch.autograd.gradcheck(lambda q, k, v: dot_product_attention(q, k, v, mask), inputs)


def test_tanh_of_one_matrix_for_region_and_hidden_state() -> None:
    """e = v tanh(W [a; h] + b) + c, written with one W, as it is published."""
    torch.manual_seed(0)
    additive = AdditiveAttention(channels=5, width=4, attention_dim=7, energy="tanh").double()
    hidden, regions = random(1, 1, 4), random(1, 6, 5)
    both = torch.nn.Linear(9, 7).double()
    with torch.no_grad():
        both.weight.copy_(torch.cat([additive.encoder_att.weight, additive.decoder_att.weight], 1))
        both.bias.copy_(additive.encoder_att.bias)
    together = torch.cat([regions[0], hidden[0].expand(6, -1)], 1)
    expected = additive.energy(torch.tanh(both(together))).squeeze(-1).softmax(-1)
    torch.testing.assert_close(additive(hidden, additive.keys(regions), regions).weights[0, 0], expected)


def test_gradients_of_additive(additive: AdditiveAttention) -> None:
    names, parameters = zip(*additive.named_parameters(), strict=True)

    def attend(hidden: Tensor, regions: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        own = dict(zip(names, weights, strict=True))
        keys = functional.linear(regions, own["encoder_att.weight"], own["encoder_att.bias"])
        context, alphas, _ = torch.func.functional_call(additive, own, (hidden, keys, regions))
        return context, alphas

    inputs = [random(2, 2, 4).requires_grad_(), random(2, 3, 5).requires_grad_(), *parameters]
    assert torch.autograd.gradcheck(attend, inputs)
