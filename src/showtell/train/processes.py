"""Training on several processes, on one machine or many: each computes the gradients of its part of every batch.

`train.devices` starts those of this machine; torchrun starts its own, on any number of machines. The loss is a mean
over the tokens of the whole batch, so that the number of processes changes the cross-entropy by rounding alone; the
losses of attention and of sampled captions are means of each part. Every process computes the same scores and takes the
same decisions; the first one writes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from torch import Tensor, nn

from showtell.core.machine import available_cores
from showtell.errors import BadConfig
from showtell.settings import TrainSettings
from showtell.train.launch import Children, ProcessEnded, own_rank, start_others

TIMEOUT: Final = timedelta(minutes=30)
"""Of what all do at about the same time; one that ends is noticed before, by its closed connections."""
LONG_WORK_TIMEOUT: Final = timedelta(days=7)
"""Where the others wait for work of the first one alone, such as features, which may take days."""
_LOST: Final = re.compile(r"Connection|Broken pipe|[Tt]imed? ?out|[Ss]ocket|closed|NCCL")
"""In the messages of gloo and NCCL."""


class Processes:
    """The processes of a run, seen from one of them. With a single one nothing is sent."""

    def __init__(
        self,
        fabric: Fabric,
        count: int = 1,
        rank: int = 0,
        local_rank: int = 0,
        children: Children | None = None,
        long_work_group: torch.distributed.ProcessGroup | None = None,
    ) -> None:
        """`fabric`: of this process alone. `local_rank`: among those of its machine. `children`: what it has
        started. `long_work_group`: all processes, with LONG_WORK_TIMEOUT; a timeout belongs to a group."""
        self.fabric, self.count, self.rank, self.local_rank, self.children = fabric, count, rank, local_rank, children
        self.long_work_group = long_work_group

    def leave(self) -> None:
        """End the process group. All processes call it, at the same point of the run: with NCCL it waits for the
        others, so that one that fails alone must not, and ends with NCCL's warning instead."""
        if self.count > 1:
            torch.distributed.destroy_process_group()

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @contextlib.contextmanager
    def first_of_machine_first(self) -> Iterator[None]:
        """The others begin the block when the first process of every machine has done it: what it leaves in a cache
        they find there."""
        if self.local_rank > 0:
            self.any_after_long_work()
        yield
        if self.local_rank == 0:
            self.any_after_long_work()

    def check_same(self, value: Any, explain: Callable[[Any, Any], str]) -> None:
        """Raises BadConfig, in all processes, unless all give the same value, a JSON one. `explain` says what differs
        between the first process's value and another one."""
        values = self.gather(value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise BadConfig(f"process {rank + 1} of this run differs from the first: {explain(values[0], other)}")

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        return self._reduced(values, torch.distributed.ReduceOp.SUM) if self.count > 1 else list(values)

    def any(self, *flags: bool) -> list[bool]:
        """Whether each is true in any process."""
        if self.count == 1:
            return list(flags)
        return [bool(value) for value in self._reduced([float(flag) for flag in flags], torch.distributed.ReduceOp.MAX)]

    def any_after_long_work(self, flag: bool = False) -> bool:
        """Whether it is true in any process, where all but some wait for as long as those work."""
        if self.count == 1:
            return flag
        return bool(self._reduced([float(flag)], torch.distributed.ReduceOp.MAX, self.long_work_group)[0])

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
        """Those of all processes, of one shape and on the CPU, by rank."""
        if self.count == 1:
            return [tensor]
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        self._call(torch.distributed.all_gather, parts, tensor)
        return parts

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
        self._broadcast(buffer for module in modules if module is not None for buffer in module.buffers())

    def share_weights(self, *modules: nn.Module | None) -> None:
        """Give all processes the parameters and buffers of the first: random weights, and a PCA that each has
        fitted."""
        self._broadcast(p.detach() for module in modules if module is not None for p in module.parameters())
        self.share_buffers(*modules)

    def wait(self) -> None:
        """Until all processes are here."""
        self.sum([0.0])

    def _broadcast(self, tensors: Iterable[Tensor]) -> None:
        if self.count == 1:
            return
        for tensor in tensors:
            sent = tensor.contiguous()
            self._call(torch.distributed.broadcast, sent, 0)
            tensor.copy_(sent)

    def _reduced(
        self, values: Sequence[float], operation: Any, group: torch.distributed.ProcessGroup | None = None
    ) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64)
        self._call(torch.distributed.all_reduce, tensor, operation, group)
        return [float(value) for value in tensor]

    @staticmethod
    def _call(function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[0]
            is_theirs = isinstance(error, torch.distributed.DistError) or "/gloo/transport/" in reason
            if not is_theirs or not _LOST.search(reason):
                raise
            raise ProcessEnded(re.sub(r"^\[\S*\] |\. .*$", "", reason)) from error


def single_process(precision: str) -> Processes:
    """This process alone, on the first accelerator that there is."""
    return Processes(_fabric(precision, devices=1))


def start_processes(settings: TrainSettings) -> Processes:
    """Of this machine, unless torchrun has done so; where nothing is to be started, the one that is there.

    Those that are started run this process's own command again, up to here. Raises BadConfig for more processes than
    the machine has GPUs, and where this process is in such a run already.
    """
    is_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    count = local = settings.devices
    rank = local_rank = own_rank()
    if is_torchrun:
        names = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK")
        count, local, rank, local_rank = (int(os.environ[name]) for name in names)
    if count == 1:
        return single_process(settings.precision)
    if torch.distributed.is_initialized():
        raise BadConfig(
            f"this process is one of the {torch.distributed.get_world_size()} of another run already; expected one run "
            "on several processes in each: start a process of its own for this one, as `showtell train` does"
        )
    device = _device(local_rank, local, "--nproc-per-node" if is_torchrun else "train.devices")
    children = None if is_torchrun else start_others(local)
    meet = functools.partial(torch.distributed.init_process_group, rank=rank, world_size=count, timeout=TIMEOUT)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        Processes._call(meet, "cpu:gloo,cuda:nccl")
    else:
        Processes._call(meet, "gloo")
        _share_cores(local, is_torchrun)
    # Rejected: Lightning's DDPStrategy. Its DistributedDataParallel has to look for the parameters without a gradient
    # in every step, as an encoder that is still frozen has none, and warns where it finds none.
    fabric = _fabric(settings.precision, strategy=SingleDeviceStrategy(device), accelerator=device.type)
    long_work_group = cast(Any, torch.distributed.new_group(backend="gloo", timeout=LONG_WORK_TIMEOUT))
    return Processes(fabric, count, rank, local_rank, children, long_work_group)


def _fabric(precision: str, **options: Any) -> Fabric:
    # Else Lightning asks SLURM how many processes there are, in every job and shell of it.
    return Fabric(precision=cast(Any, precision), plugins=[LightningEnvironment()], **options)


def _device(local_rank: int, local: int, setting: str) -> torch.device:
    """Of one of `local` processes. On a Mac they share its cores: no process group knows Apple's GPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local > (gpus := torch.cuda.device_count()):
        raise BadConfig(f"{setting} is {local}, and this machine has {gpus} GPU(s); expected at most {gpus}")
    return torch.device("cuda", local_rank)


def _share_cores(local: int, is_torchrun: bool) -> None:
    """An equal part for each process, unless the user has set a number of threads."""
    of_nobody = "1" if is_torchrun else None  # torchrun sets it where the user has not
    if os.environ.get("OMP_NUM_THREADS") == of_nobody:
        torch.set_num_threads(max(1, available_cores() // local))
