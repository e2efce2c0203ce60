"""Cells and layers of them against torch's own modules, with the same weights."""

import pytest
import torch
from tests.rounding import assert_rounding
from torch import Tensor, nn
from torch.func import functional_call

from showtell.nets.cells import CELLS, Cell, Recurrence
from showtell.nets.decoder import Tensors

INPUTS, WIDTH, ROWS, LENGTH = 7, 5, 4, 6
TORCH_CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
TORCH_LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def state_of(cell: str, *shape: int) -> Tensors:
    return {name: random(*shape).add(n).sin() for n, name in enumerate(CELLS[cell].states)}


def torch_names(cell: Cell, suffix: str = "") -> dict[str, Tensor]:
    """Our weights under torch's names; a bias that is not there is zero."""
    none = torch.zeros_like(cell.input.bias)
    return {
        f"weight_ih{suffix}": cell.input.weight,
        f"weight_hh{suffix}": cell.hidden.weight,
        f"bias_ih{suffix}": cell.input.bias,
        f"bias_hh{suffix}": none if cell.hidden.bias is None else cell.hidden.bias,
    }


def torch_state(state: Tensors, move: object = lambda row: row) -> object:
    rows = [move(row) for row in state.values()]
    return rows[0] if len(rows) == 1 else tuple(rows)


@pytest.fixture(params=[1, 2], ids=["one bias", "two biases"])
def biases(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_equals_torchs(kind: str, biases: int) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](INPUTS, WIDTH, biases).double()
    theirs = TORCH_CELLS[kind](INPUTS, WIDTH).double()
    x, state = random(ROWS, INPUTS), state_of(kind, ROWS, WIDTH)
    wanted = [*cell.parameters(), *(row.requires_grad_() for row in state.values())]
    found = cell(x, state)
    expected = functional_call(theirs, torch_names(cell), (x, torch_state(state)))
    expected = expected if isinstance(expected, tuple) else (expected,)
    for ours, other in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-12)
    directions = [random(ROWS, WIDTH, 2)[..., n] for n in range(len(expected))]
    ours = torch.autograd.grad(sum((a * d).sum() for a, d in zip(found.values(), directions, strict=True)), wanted)
    other = torch.autograd.grad(sum((a * d).sum() for a, d in zip(expected, directions, strict=True)), wanted)
    for one, two in zip(ours, other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_gradcheck(kind: str, biases: int) -> None:
    torch.manual_seed(0)
    cell = CELLS[kind](INPUTS, WIDTH, biases).double()
    names, parameters = zip(*cell.named_parameters(), strict=True)

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        states = len(cell.states)
        state = dict(zip(cell.states, rest[:states], strict=True))
        return tuple(functional_call(cell, dict(zip(names, rest[states:], strict=True)), (x, state)).values())

    inputs = [random(2, INPUTS), *state_of(kind, 2, WIDTH).values()]
    assert torch.autograd.gradcheck(run, [*(each.requires_grad_() for each in inputs), *parameters])


@pytest.fixture(params=CELLS)
def layers(request: pytest.FixtureRequest, biases: int) -> Recurrence:
    torch.manual_seed(0)
    return Recurrence(request.param, INPUTS, WIDTH, layers=3, dropout=0.0, biases=biases).double()


def test_steps_equal_torchs_layers(layers: Recurrence) -> None:
    x, state = random(ROWS, LENGTH, INPUTS), state_of(layers.kind, ROWS, 3, WIDTH)
    theirs = TORCH_LAYERS[layers.kind](INPUTS, WIDTH, num_layers=3, batch_first=True).double()
    theirs.load_state_dict(
        {name: row for n, cell in enumerate(layers.layers) for name, row in torch_names(cell, f"_l{n}").items()}
    )
    expected, last = theirs(x, torch_state(state, lambda row: row.transpose(0, 1).contiguous()))
    tops = []
    for t in range(LENGTH):
        top, state = layers.step(x[:, t], state)
        tops.append(top)
    torch.testing.assert_close(torch.stack(tops, 1), expected, rtol=0, atol=1e-12)
    for ours, other in zip(state.values(), last if isinstance(last, tuple) else (last,), strict=True):
        torch.testing.assert_close(ours, other.transpose(0, 1), rtol=0, atol=1e-12)


def test_a_whole_sentence_equals_its_steps(layers: Recurrence) -> None:
    """The fused kernels and the equations are one function, and have one gradient."""
    x, state = random(ROWS, LENGTH, INPUTS), state_of(layers.kind, ROWS, 3, WIDTH)
    wanted = [x.requires_grad_(), *(row.requires_grad_() for row in state.values()), *layers.parameters()]
    fused = layers.run(x, state)
    tops, reached = [], state
    for t in range(LENGTH):
        top, reached = layers.step(x[:, t], reached)
        tops.append(top)
    plain = torch.stack(tops, 1)
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-12)
    direction = random(ROWS, LENGTH, WIDTH)
    ours = torch.autograd.grad((fused * direction).sum(), wanted)
    other = torch.autograd.grad((plain * direction).sum(), wanted)
    for one, two in zip(ours, other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_the_float32_kernels_compute_the_same(layers: Recurrence) -> None:
    """Which are others than those of float64: oneDNN's, where it has any."""
    x, state = random(ROWS, LENGTH, INPUTS), state_of(layers.kind, ROWS, 3, WIDTH)
    exact = layers.run(x, state)
    reached, tops = {name: row.float() for name, row in state.items()}, []
    fused = layers.float().run(x.float(), reached)
    for t in range(LENGTH):
        top, reached = layers.step(x[:, t].float(), reached)
        tops.append(top)
    assert_rounding(fused.numpy(), torch.stack(tops, 1).numpy(), exact.numpy())


def test_rows_may_stand_in_a_grid(layers: Recurrence) -> None:
    x, state = random(2, 3, INPUTS), state_of(layers.kind, 2, 3, 3, WIDTH)
    top, after = layers.step(x, state)
    flat, flat_after = layers.step(x.flatten(0, 1), {name: row.flatten(0, 1) for name, row in state.items()})
    torch.testing.assert_close(top.flatten(0, 1), flat)
    for name, row in after.items():
        torch.testing.assert_close(row.flatten(0, 1), flat_after[name])


def test_dropout_is_between_layers_and_in_training_only() -> None:
    torch.manual_seed(0)
    one, two = (Recurrence("lstm", INPUTS, WIDTH, layers=n, dropout=0.9) for n in (1, 2))
    x = random(ROWS, LENGTH, INPUTS).float()
    for layers, noisy in ((one, False), (two, True)):
        state = layers.zeros(x[:, 0])
        assert torch.equal(layers.train().run(x, state), layers.run(x, state)) is not noisy
        assert torch.equal(layers.step(x[:, 0], state)[0], layers.step(x[:, 0], state)[0]) is not noisy
        assert torch.equal(layers.eval().run(x, state), layers.run(x, state))


def test_mixed_precision_reaches_the_kernels() -> None:
    """Autocast rounds the inputs; weights of another precision would be refused."""
    for kind in CELLS:
        layers = Recurrence(kind, INPUTS, WIDTH, layers=2, dropout=0.0)
        x = random(ROWS, LENGTH, INPUTS).bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            found = layers.run(x, layers.zeros(x[:, 0]))
        torch.testing.assert_close(found, layers.run(x.float(), layers.zeros(x[:, 0].float())))
