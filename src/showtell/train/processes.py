"""Training on several processes, on one machine or many: each computes the gradients of its part of every batch.

`train.devices` starts those of this machine; torchrun starts its own, on any number of machines. The loss is a mean
over the tokens of the whole batch, so that the number of processes changes the cross-entropy by rounding alone; the
losses of attention and of sampled captions are means of each part. Every process computes the same scores and takes the
same decisions; the first one writes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from torch import Tensor, nn

from showtell.errors import ShowtellError
from showtell.settings import TrainSettings


class Processes:
    """The processes of a run, seen from one of them. With a single one nothing is sent."""

    def __init__(self, fabric: Fabric, count: int = 1, rank: int = 0) -> None:
        """`fabric`: of this process alone."""
        self.fabric, self.count, self.rank = fabric, count, rank

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        return self._reduced(values, torch.distributed.ReduceOp.SUM) if self.count > 1 else list(values)

    def any(self, *flags: bool) -> list[bool]:
        """Whether each is true in any process."""
        if self.count == 1:
            return list(flags)
        return [bool(value) for value in self._reduced([float(flag) for flag in flags], torch.distributed.ReduceOp.MAX)]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, JSON each, by rank. Rejected: torch's own for objects, which are pickled."""
        if self.count == 1:
            return [value]
        data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [0.0] * self.count
        lengths[self.rank] = len(data)
        sizes = [int(size) for size in self.sum(lengths)]
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(data)] = data
        return [
            json.loads(bytes(part[:size].numpy())) for part, size in zip(self.gather_tensor(padded), sizes, strict=True)
        ]

    def gather_tensor(self, tensor: Tensor) -> list[Tensor]:
        """Those of all processes, of one shape, by rank."""
        if self.count == 1:
            return [tensor]
        mine = self.fabric.to_device(tensor)
        parts = [torch.empty_like(mine) for _ in range(self.count)]
        self._call(torch.distributed.all_gather, parts, mine)
        return [part.cpu() for part in parts]

    def sum_gradients(self, module: nn.Module) -> None:
        """Replace every gradient by its sum over all processes. All have gradients of the same parameters."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        total = torch.cat([gradient.flatten() for gradient in gradients])
        self._call(torch.distributed.all_reduce, total)
        parts = torch.split(total, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def share_buffers(self, *modules: nn.Module | None) -> None:
        """Give all processes the buffers of the first: statistics of a batch norm that is trained, moving averages."""
        if self.count == 1:
            return
        for module in modules:
            for buffer in module.buffers() if module is not None else ():
                self._call(torch.distributed.broadcast, buffer, 0)

    def wait(self) -> None:
        """Until all processes are here."""
        self.sum([0.0])

    def _reduced(self, values: Sequence[float], operation: Any) -> list[float]:
        tensor = self.fabric.to_device(torch.tensor(values, dtype=torch.float64))
        self._call(torch.distributed.all_reduce, tensor, operation)
        return [float(value) for value in tensor]

    @staticmethod
    def _call(function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except RuntimeError as error:
            raise ShowtellError("another process of this run has ended; its own message says why") from error


def start_processes(settings: TrainSettings) -> Processes:
    """Of this machine, unless torchrun has done so; where nothing is to be started, the one that is there.

    Those that are started run this process's own command again, up to here.
    """
    environment = os.environ
    local, total = int(environment.get("LOCAL_WORLD_SIZE", settings.devices)), settings.devices
    if "TORCHELASTIC_RUN_ID" in environment:
        total = int(environment["WORLD_SIZE"])
    if total == 1:
        return Processes(Fabric(devices=1, precision=settings.precision))
    launcher = Fabric(devices=local, num_nodes=total // local, strategy="ddp")
    with _quiet():
        launcher.launch()
    if launcher.device.type == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local))
    # Rejected: its DistributedDataParallel. It has to look for the parameters without a gradient in every step, as an
    # encoder that is still frozen has none, and warns where it finds none.
    own = Fabric(strategy=SingleDeviceStrategy(launcher.device), precision=settings.precision)
    return Processes(own, launcher.world_size, launcher.global_rank)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's lines on how it starts processes."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
