import pytest
import torch
from torch import Tensor

from showtell.nets.dropout import Dropout, dropout

COUNT = 40_003  # no multiple of four


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(COUNT) + 1


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_share_of_zeros_is_the_rate_and_the_others_are_scaled_up(
    x: Tensor, rate: float, dtype: torch.dtype
) -> None:
    x = x.to(dtype)
    dropped = dropout(x, rate)
    is_zero = dropped == 0
    share = is_zero.double().mean().item()
    assert abs(share - rate) < 5 * (rate * (1 - rate) / COUNT) ** 0.5
    torch.testing.assert_close(dropped[~is_zero], x[~is_zero] / (1 - rate), rtol=1e-3, atol=0)


def test_neighbours_are_independent() -> None:
    """Four of them come from one random number."""
    torch.manual_seed(0)
    kept = (dropout(torch.ones(COUNT // 4, 4), 0.5) > 0).double()
    related = torch.corrcoef(kept.T) - torch.eye(4)
    assert related.abs().max() < 5 / (COUNT // 4) ** 0.5


def test_a_saved_state_of_the_generator_repeats_the_mask(x: Tensor) -> None:
    state = torch.get_rng_state()
    first, second = dropout(x, 0.3), dropout(x, 0.3)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(dropout(x, 0.3), first) and torch.equal(dropout(x, 0.3), second)


def test_gradients_pass_where_values_do(x: Tensor) -> None:
    x = x.view(3, -1)[:, ::2].requires_grad_() if COUNT % 3 == 0 else x[::2].requires_grad_()
    dropped = dropout(x, 0.3)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    torch.testing.assert_close(gradient * x, dropped)


def test_the_layer_is_for_training(x: Tensor) -> None:
    layer = Dropout(0.3)
    assert (layer(x) == 0).any()
    assert layer.eval()(x) is x or torch.equal(layer(x), x)
    for rate, expected in ((0.0, x), (1.0, torch.zeros_like(x))):
        assert torch.equal(dropout(x, rate), expected)
