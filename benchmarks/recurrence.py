"""Fused recurrent kernels against a loop over the cells: forward and backward, interleaved in one process.

    python benchmarks/recurrence.py

Rows, width and length as in the recipe imgcap-lstm; medians over the rounds.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from showtell.nets.cells import CELLS, Recurrence

ROWS, LENGTH, WIDTH, LAYERS, ROUNDS = 64, 14, 1024, 2, 7


def seconds(run: Callable[[], Tensor]) -> float:
    begun = time.perf_counter()
    run().sum().backward()
    return time.perf_counter() - begun


def main() -> None:
    print(f"{ROWS} rows of {LENGTH} words, {LAYERS} layers of {WIDTH}, median of {ROUNDS} rounds, {ROUNDS} + 1 run")
    x = torch.randn(ROWS, LENGTH, WIDTH)
    for kind in CELLS:
        layers = Recurrence(kind, WIDTH, WIDTH, LAYERS, dropout=0.0)
        state = layers.zeros(x[:, 0])

        def loop(layers: Recurrence = layers, state: dict[str, Tensor] = state) -> Tensor:
            tops = []
            for t in range(LENGTH):
                top, state = layers.step(x[:, t], state)
                tops.append(top)
            return torch.stack(tops, 1)

        def fused(layers: Recurrence = layers, state: dict[str, Tensor] = state) -> Tensor:
            return layers.run(x, state)

        pairs = [(seconds(loop), seconds(fused)) for _ in range(ROUNDS + 1)][1:]
        slow, fast = (statistics.median(pair[n] for pair in pairs) for n in range(2))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{kind:5}loop {1000 * slow:7.1f} ms   fused {1000 * fast:7.1f} ms   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
