"""Recurrent cells from their equations, and layers of them.

A single step follows the equations, as search and ONNX need it. Whole sequences use torch's fused kernels with the same
weights, tested to be the same function: on a CPU 2.5 times as fast as a loop over LSTM cells, a third faster for the
others (`benchmarks/recurrence.py`).
"""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from showtell.nets.decoder import Tensors
from showtell.nets.dropout import Dropout


class Cell(nn.Module):
    """One step of a recurrence. Gates are in torch's order, so that weights of its modules can be copied."""

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("hidden",)

    def __init__(self, inputs: int, width: int, biases: int = 2) -> None:
        """`biases`: 1 as in the papers' equations, 2 as in torch, where the second is redundant."""
        super().__init__()
        self.input = nn.Linear(inputs, self.gates * width)
        self.hidden = nn.Linear(width, self.gates * width, bias=biases == 2)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(width), 1 / math.sqrt(width))

    def forward(self, x: Tensor, state: Tensors) -> Tensors:
        """x [..., I] and the state [..., D] -> the next state."""
        raise NotImplementedError


class ElmanCell(Cell):
    """h' = tanh(W x + U h + b) (Elman 1990)"""

    gates = 1

    def forward(self, x: Tensor, state: Tensors) -> Tensors:
        return {"hidden": torch.tanh(self.input(x) + self.hidden(state["hidden"]))}


class LSTMCell(Cell):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    i, f, o = sigmoid(W x + U h + b),  g = tanh(W_g x + U_g h + b_g),  c' = f c + i g,  h' = o tanh(c')
    """

    gates = 4
    states = ("hidden", "cell")

    def forward(self, x: Tensor, state: Tensors) -> Tensors:
        i, f, g, o = (self.input(x) + self.hidden(state["hidden"])).chunk(4, -1)
        cell = torch.sigmoid(f) * state["cell"] + torch.sigmoid(i) * torch.tanh(g)
        return {"hidden": torch.sigmoid(o) * torch.tanh(cell), "cell": cell}


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014), reset gate after the product with U, as in cuDNN and torch.

    r, z = sigmoid(W x + U h + b),  n = tanh(W_n x + b_n + r (U_n h + b'_n)),  h' = (1 - z) n + z h
    """

    gates = 3

    def forward(self, x: Tensor, state: Tensors) -> Tensors:
        input_r, input_z, input_n = self.input(x).chunk(3, -1)
        hidden_r, hidden_z, hidden_n = self.hidden(state["hidden"]).chunk(3, -1)
        r, z = torch.sigmoid(input_r + hidden_r), torch.sigmoid(input_z + hidden_z)
        new = torch.tanh(input_n + r * hidden_n)
        return {"hidden": (1 - z) * new + z * state["hidden"]}


CELLS: dict[str, type[Cell]] = {"rnn": ElmanCell, "lstm": LSTMCell, "gru": GRUCell}


class Recurrence(nn.Module):
    """L layers of cells, with dropout between them. A state is `hidden` (and `cell`) `[..., L, D]`."""

    def __init__(self, cell: str, inputs: int, width: int, layers: int, dropout: float, biases: int = 2) -> None:
        super().__init__()
        self.kind = cell
        self.states = CELLS[cell].states
        self.layers = nn.ModuleList(CELLS[cell](width if n else inputs, width, biases) for n in range(layers))
        self.dropout = Dropout(dropout)
        self.width = width

    def zeros(self, like: Tensor) -> Tensors:
        """The zero state, for rows as in `like` [..., any]: [..., L, D]."""
        return {name: like.new_zeros(*like.shape[:-1], len(self.layers), self.width) for name in self.states}

    def step(self, x: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
        """x [..., I] -> the last layer's hidden state [..., D] and the state of all layers."""
        states: list[Tensors] = []
        for n, cell in enumerate(self.layers):
            states.append(cell(self.dropout(x) if n else x, {name: rows[..., n, :] for name, rows in state.items()}))
            x = states[-1]["hidden"]
        return x, {name: torch.stack([layer[name] for layer in states], -2) for name in self.states}

    def run(self, x: Tensor, state: Tensors) -> Tensor:
        """A whole sequence: x [R, T, I], state [R, L, D] -> the last layer's hidden states [R, T, D]."""
        cells = [cast(Cell, cell) for cell in self.layers]
        # The kernels take both biases or none: a missing one is zero.
        weights = [
            tensor
            for cell in cells
            for tensor in (
                cell.input.weight,
                cell.hidden.weight,
                cell.input.bias,
                torch.zeros_like(cell.input.bias) if cell.hidden.bias is None else cell.hidden.bias,
            )
        ]
        initial = [state[name].transpose(0, 1).contiguous() for name in self.states]  # [L, R, D]
        options = (True, len(cells), self.dropout.p, self.training, False, True)
        # Autocast would round some of these tensors and not others, which the kernels refuse.
        with torch.autocast(x.device.type, enabled=False):
            x, initial = x.to(weights[0].dtype), [tensor.to(weights[0].dtype) for tensor in initial]
            if self.kind == "lstm":
                return torch.lstm(x, initial, weights, *options)[0]
            fused = torch.gru if self.kind == "gru" else torch.rnn_tanh
            return fused(x, initial[0], weights, *options)[0]
