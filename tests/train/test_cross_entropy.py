"""Against torch's own cross-entropy, in float64."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from showtell.train.cross_entropy import ROWS, cross_entropy_overwriting

VOCABULARY = 7
COUNT = 2 * ROWS + 5  # the last rows are fewer


@pytest.fixture
def hidden() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(COUNT, VOCABULARY, dtype=torch.float64, generator=generator, requires_grad=True)


@pytest.fixture
def targets() -> Tensor:
    return torch.randint(VOCABULARY - 2, (COUNT,), generator=torch.Generator().manual_seed(1))


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(3 * loss, of)  # 3: what comes from the layers behind is passed on
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_torchs(hidden: Tensor, targets: Tensor, smoothing: float) -> None:
    loss, plain = cross_entropy_overwriting(2 * hidden, targets, smoothing)
    expected = functional.cross_entropy(2 * hidden, targets, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(plain, functional.cross_entropy(2 * hidden, targets, reduction="none").detach())
    assert not plain.requires_grad
    torch.testing.assert_close(gradient(loss, hidden), gradient(expected, hidden))


def test_weights_multiply_the_losses_and_banned_tokens_have_no_probability(hidden: Tensor, targets: Tensor) -> None:
    weights = torch.randn(COUNT, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    banned = [VOCABULARY - 1, VOCABULARY - 2]
    loss, plain = cross_entropy_overwriting(2 * hidden, targets, weights=weights, banned_ids=banned)
    allowed = functional.cross_entropy(2 * hidden[:, :-2], targets, reduction="none")
    torch.testing.assert_close(plain, allowed.detach())
    expected = (weights * allowed).mean()
    torch.testing.assert_close(loss, expected)
    found = gradient(loss, hidden)
    torch.testing.assert_close(found, gradient(expected, hidden))
    assert (found[:, banned] == 0).all()


def test_half_precision_logits_are_summed_in_float32(hidden: Tensor, targets: Tensor) -> None:
    half = hidden.detach().bfloat16().requires_grad_()
    exact = half.detach().double().requires_grad_()
    loss, _ = cross_entropy_overwriting(half * 1, targets, 0.1)
    expected = functional.cross_entropy(exact, targets, label_smoothing=0.1)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    # Two roundings to eight bits.
    torch.testing.assert_close(gradient(loss, half).double(), gradient(expected, exact), rtol=2**-7, atol=1e-8)


def test_without_gradients_the_logits_stay(hidden: Tensor, targets: Tensor) -> None:
    logits = hidden.detach().clone()
    cross_entropy_overwriting(logits, targets)
    assert torch.equal(logits, hidden)
