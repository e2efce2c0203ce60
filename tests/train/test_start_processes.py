"""How the processes of a run find each other, and what they check before the first step. No process is started here."""

import atexit
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.test_processes import SLURM, recipe
from torch import nn

from showtell.data.spec import read_samples
from showtell.errors import BadConfig
from showtell.settings import TrainSettings
from showtell.train import processes as module
from showtell.train.checkpoints import Checkpoints
from showtell.train.launch import ProcessEnded
from showtell.train.processes import Processes, single_process, start_processes
from showtell.train.run_folder import RunFolder
from showtell.train.same_start import check_same_start


@pytest.fixture
def two() -> Processes:
    return Processes(single_process("32-true").fabric, count=2)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two. What is called to begin with them."""
    called: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", called.append)
    monkeypatch.setattr(module, "start_others", called.append)
    monkeypatch.setattr(module, "_fabric", lambda precision, **options: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *a, **options: called.append((*a, options)))
    monkeypatch.setattr(torch.distributed, "new_group", lambda **options: called.append(options) or options)
    return called


def test_a_single_process_within_a_slurm_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    processes = start_processes(TrainSettings())
    assert (processes.count, processes.fabric.world_size, processes.fabric.global_rank) == (1, 1, 0)


@pytest.mark.parametrize("by_torchrun", [False, True])
def test_more_processes_than_gpus(by_torchrun: bool, gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if by_torchrun:
        for name, value in (("WORLD_SIZE", "3"), ("LOCAL_WORLD_SIZE", "3"), ("RANK", "1"), ("LOCAL_RANK", "1")):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    setting = "--nproc-per-node" if by_torchrun else "train.devices"
    with pytest.raises(BadConfig, match=f"^{setting} is 3, and this machine has 2 GPU.*expected at most 2$"):
        start_processes(TrainSettings(devices=3))
    assert gpus == []


def test_a_second_run_in_the_same_process_is_refused(gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(BadConfig, match=r"^this process is one of the 2 of another run already; expected one run"):
        start_processes(TrainSettings(devices=2))
    assert gpus == []
    assert start_processes(TrainSettings()).count == 1


def test_gpus_exchange_gradients_by_nccl_and_wait_for_long_work_of_one(gpus: list[Any]) -> None:
    processes = start_processes(TrainSettings(devices=2))
    started, device, (backend, options), long_work_group = gpus
    assert (started, device, backend) == (2, torch.device("cuda", 0), "cpu:gloo,cuda:nccl")
    assert (options["rank"], options["world_size"]) == (0, 2) and options["timeout"] < timedelta(hours=1)
    assert long_work_group["backend"] == "gloo" and long_work_group["timeout"] > timedelta(days=1)
    assert processes.long_work_group is long_work_group


def test_nothing_is_left_to_do_at_exit_that_waits_for_the_others(
    gpus: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that fails alone would never end."""
    at_exit: list[Any] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    start_processes(TrainSettings(devices=2))
    assert at_exit == []


@pytest.mark.parametrize(
    ("is_torchrun", "set_by", "expected"),
    [(False, None, [3]), (False, "1", []), (False, "5", []), (True, "1", [3]), (True, "5", [])],
)
def test_threads(is_torchrun: bool, set_by: str | None, expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes on six of a machine's cores; torchrun sets OMP_NUM_THREADS=1 where nobody has."""
    taken: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setattr(module, "available_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if set_by is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", set_by)
    module._share_cores(2, is_torchrun)
    assert taken == expected


def failing(message: str) -> Callable[..., None]:
    def fail(*arguments: Any) -> None:
        raise RuntimeError(message)

    return fail


def test_only_a_lost_connection_is_taken_for_the_end_of_another(
    two: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = (
        "[/build/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:39941. This is typically caused"
    )
    monkeypatch.setattr(torch.distributed, "all_reduce", failing(lost))
    with pytest.raises(ProcessEnded, match=r"has ended \(Connection closed by peer \[127.0.0.1\]:39941\); its own"):
        two.wait()
    monkeypatch.setattr(torch.distributed, "all_reduce", failing("No backend type associated with device type cpu"))
    with pytest.raises(RuntimeError, match=r"^No backend type"):
        two.wait()


def test_one_that_does_not_arrive_is_one_line(gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise torch.distributed.DistStoreError("Timed out after 1801 seconds waiting for clients. 1/2 clients joined.")

    monkeypatch.setattr(torch.distributed, "init_process_group", fail)
    with pytest.raises(ProcessEnded, match=r"\(Timed out after 1801 seconds waiting for clients\); its own message"):
        start_processes(TrainSettings(devices=2))


def test_the_first_one_gives_all_its_parameters_and_buffers(two: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, source: tensor.view(-1).fill_(7 + source))
    network = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4))
    network[0].weight.data = network[0].weight.data.to(memory_format=torch.channels_last)
    two.share_weights(network, None)
    assert all((tensor == 7).all() for tensor in network.state_dict().values())


@pytest.mark.parametrize(
    ("local_rank", "expected"), [(0, ["features", "all are here"]), (1, ["all are here", "features"])]
)
def test_the_first_process_of_a_machine_computes_the_features(
    local_rank: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    processes = Processes(single_process("32-true").fabric, 4, rank=2 + local_rank, local_rank=local_rank)
    group = processes.long_work_group = object()  # type: ignore[assignment]
    waits = {None: "too short", group: "all are here"}
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor, how, group: done.append(waits[group]))
    with processes.first_of_machine_first():
        done.append("features")
    assert done == expected


def other_than(two: Processes, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """The second process gives another value than the first."""
    monkeypatch.setattr(two, "gather", lambda value: [value, change(value)])


def test_another_recipe_or_other_data_in_another_process(two: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe()
    samples = read_samples("shapes:9")
    other = settings.model_copy(update={"train": settings.train.model_copy(update={"lr": 0.5, "devices": 3})})
    mine = settings.model_dump(mode="json", exclude={"train": {"devices"}})
    theirs = other.model_dump(mode="json", exclude={"train": {"devices"}})
    other_than(two, monkeypatch, lambda value: theirs if value == mine else value)
    with pytest.raises(BadConfig, match=r"^process 2 .*: train\.lr is .* in the first, 0\.5 in the other; expected"):
        check_same_start(two, settings, samples)

    seen: list[Any] = []
    other_than(two, monkeypatch, lambda value: seen.append(value) or value)
    changed = [replace(samples[0], captions=("another",)), *samples[1:]]
    for data in (samples, read_samples("shapes:9"), changed):
        check_same_start(two, settings, data)
    assert seen[1] == seen[3] and seen[1][0] == seen[5][0] and seen[1][1] != seen[5][1]
    other_than(two, monkeypatch, lambda value: [8, "x"] if isinstance(value, list) else value)
    with pytest.raises(
        BadConfig, match=r"^process 2 .*other names, captions or splits \(\d+ in the first, 8 in the other\); expected"
    ):
        check_same_start(two, settings, samples)


def test_another_progress_in_another_process(two: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of machines that have a run folder each."""
    other_than(two, monkeypatch, lambda progress: [0, 4, 4])
    network = nn.Linear(2, 2)
    with pytest.raises(BadConfig, match="it goes on from step 4, the first one from step 0; expected one run folder"):
        Checkpoints(RunFolder(tmp_path), 1, two).resume(
            two.fabric, network, torch.optim.SGD(network.parameters()), None
        )
