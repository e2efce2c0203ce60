import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning_fabric.plugins.precision.amp import MixedPrecision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from showtell.errors import BadConfig
from showtell.train.checkpoints import Checkpoints
from showtell.train.processes import single_process
from showtell.train.run_folder import RunFolder
from showtell.train.state import TrainProgress, load_saved_weights, load_state, save_state, save_weights


class Run(NamedTuple):
    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: AveragedModel | None


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "sgd without momentum": torch.optim.SGD,
}


def run(seed: int = 0, width: int = 4, averaged: bool = True, optimizer: str = "adamw") -> Run:
    """A network with everything that a state has to carry: statistics, dropout, weights in another memory layout."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Dropout(0.3), nn.Flatten(), nn.LazyLinear(2)
    )
    model(torch.randn(2, 3, 6, 6))
    model.to(memory_format=torch.channels_last)
    groups = [{"params": list(model[0].parameters())}, {"params": list(model[4].parameters()), "weight_decay": 0.5}]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)) if averaged else None
    return Run(model, OPTIMIZERS[optimizer](groups, lr=0.01), average)


def train(run: Run, steps: int) -> None:
    for _ in range(steps):
        loss = run.model(torch.randn(5, 3, 6, 6)).square().mean()
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        if run.ema is not None:
            run.ema.update_parameters(run.model)


def tensors(run: Run) -> dict[str, Tensor]:
    found = {f"model.{name}": tensor for name, tensor in run.model.state_dict().items()}
    if run.ema is not None:
        found |= {f"ema.{name}": tensor for name, tensor in run.ema.state_dict().items()}
    for index, entry in run.optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{index}.{name}": tensor for name, tensor in entry.items() if tensor is not None}
    return found


def same(one: Run, other: Run) -> bool:
    ours, theirs = tensors(one), tensors(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.safetensors"


POSITION = TrainProgress(
    epoch=2, batch=7, step=345, best_score=-0.8125, best_epoch=1, drops=3, stopped=True, seconds=12.5
)
NO_SCALER: dict[str, Any] = {}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("averaged", [True, False])
def test_a_run_goes_on_bit_by_bit_as_if_it_had_not_stopped(path: Path, averaged: bool, optimizer: str) -> None:
    stopped = run(seed=1, averaged=averaged, optimizer=optimizer)
    whole = run(averaged=averaged, optimizer=optimizer)
    train(whole, 3)
    assert not same(whole, stopped)
    save_state(path, POSITION, *whole, NO_SCALER)
    train(whole, 4)
    torch.manual_seed(77)
    assert load_state(path, *stopped) == (POSITION, NO_SCALER)
    train(stopped, 4)  # dropout and data come from the restored generator
    assert same(whole, stopped)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_that_have_not_moved_yet(path: Path, optimizer: str) -> None:
    """As of an encoder that waits for its epoch: the optimiser knows nothing of them."""
    whole, stopped = run(optimizer=optimizer), run(seed=1, optimizer=optimizer)
    whole.model[0].requires_grad_(False)
    train(whole, 2)
    assert all("optimizer.0." not in name for name in tensors(whole))
    if optimizer == "sgd":  # some versions of torch note that there is no momentum
        whole.optimizer.state[whole.model[0].weight]["momentum_buffer"] = None
    save_state(path, POSITION, *whole, NO_SCALER)
    load_state(path, *stopped)
    assert same(whole, stopped)
    whole.model[0].requires_grad_(True)
    generator = torch.get_rng_state()
    train(whole, 2)
    torch.set_rng_state(generator)
    train(stopped, 2)
    assert same(whole, stopped)


def test_the_scaler_of_half_precision(path: Path) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for value in (1.0, 1.0, 1.0, torch.inf, 1.0):  # three good steps double the scale, an overflow halves it
        optimizer.zero_grad()
        scaler.scale(weight * value).sum().backward()
        scaler.step(optimizer)
        scaler.update()
    assert (scaler.get_scale(), scaler.state_dict()["_growth_tracker"]) == (8.0, 1)
    scaler.update(4.0)
    save_state(path, POSITION, *run(), scaler.state_dict())
    fresh = torch.amp.GradScaler("cpu")
    fresh.load_state_dict(load_state(path, *run())[1])
    assert fresh.state_dict() == scaler.state_dict() and fresh.get_scale() == 4.0


def test_a_run_of_half_precision_that_began_on_a_cpu_goes_on_on_a_gpu(tmp_path: Path) -> None:
    """On a CPU there is no scaler; a GPU's refuses an empty state."""
    processes, begun, there = single_process("32-true"), run(), RunFolder(tmp_path)
    there.state.parent.mkdir()
    save_state(there.state, POSITION, *begun, NO_SCALER)
    processes.fabric.strategy.precision = MixedPrecision("16-mixed", "cuda", scaler=torch.amp.GradScaler("cpu"))
    assert Checkpoints(there, 1, processes).resume(processes.fabric, *run(seed=1)) == POSITION


@pytest.mark.parametrize(
    ("rank", "saved", "expected"),
    [(0, (8, 9), 7), (1, (8, 9), 8), (2, (8, 9), 9), (1, (), "seeded"), (3, (8, 9), "seeded")],
)
def test_every_process_has_its_generator_of_a_gpu(
    path: Path, rank: int, saved: Sequence[int], expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7 is that of the first process. A state of an earlier version has those of the CPU alone."""
    found: list[object] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: torch.tensor([7]))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: found.append(int(state)))
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: found.append("seeded"))
    others = [torch.get_rng_state()] * 2
    save_state(path, POSITION, *run(), NO_SCALER, None, others, [torch.tensor([number]) for number in saved])
    load_state(path, *run(), rank)
    assert found == [expected]


def test_saving_changes_nothing(path: Path) -> None:
    first, second = run(), run()
    torch.manual_seed(3)
    train(first, 2)
    torch.manual_seed(3)
    train(second, 1)
    save_state(path, POSITION, *second, NO_SCALER)
    train(second, 1)
    assert same(first, second)
    assert second.model[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_a_run_that_has_not_begun_is_saved_too(path: Path) -> None:
    save_state(path, TrainProgress(), *run(), NO_SCALER)
    fresh = run(seed=1)
    assert load_state(path, *fresh) == (TrainProgress(), NO_SCALER)
    assert same(fresh, run())


def test_shared_weights_are_saved(path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    optimizer = torch.optim.AdamW(model.parameters())
    save_state(path, TrainProgress(), model, optimizer, None, NO_SCALER)
    load_state(path, model, optimizer, None)
    assert model[1].weight is model[0].weight


def rewrite(path: Path, metadata: dict[str, str] | None, without: str | None = None) -> None:
    kept = {name: tensor for name, tensor in load_file(path).items() if name != without}
    save_file(kept, path, metadata)


PROGRESS_TEXT = {"progress": '{"epoch": 1}', "scaler": "{}"}
DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 10),
    "text": lambda path: path.write_text("no tensors" * 50),
    "no metadata": lambda path: rewrite(path, None),
    "no progress": lambda path: rewrite(path, {"scaler": "{}"}),
    "progress no JSON": lambda path: rewrite(path, PROGRESS_TEXT | {"progress": "{"}),
    "another version's progress": lambda path: rewrite(
        path, PROGRESS_TEXT | {"progress": '{"epoch": 1, "phase": "moon"}'}
    ),
    "no scaler": lambda path: rewrite(path, {"progress": '{"epoch": 1}'}),
    "a weight missing": lambda path: rewrite(path, PROGRESS_TEXT, without="model.0.weight"),
    "the average missing": lambda path: rewrite(path, PROGRESS_TEXT, without="ema.module.0.weight"),
    "the generator missing": lambda path: rewrite(path, PROGRESS_TEXT, without="random.cpu"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file(path: Path, damage: str) -> None:
    save_state(path, POSITION, *run(), NO_SCALER)
    DAMAGES[damage](path)
    with pytest.raises(BadConfig) as caught:
        load_state(path, *run())
    message = str(caught.value)
    assert message.startswith(f"{path}: not a state of this run (") and "\n" not in message
    assert message.endswith("; remove the folder to begin anew") and caught.value.__cause__ is not None


def test_the_state_of_another_network(path: Path) -> None:
    save_state(path, POSITION, *run(width=5), NO_SCALER)
    with pytest.raises(BadConfig, match="not a state of this run"):
        load_state(path, *run(width=4))


def test_save_weights(path: Path) -> None:
    model = run().model
    save_weights(path, model, {"epoch": 3, "scores": {"en": {"CIDEr": 0.5}}})
    weights = load_file(path)
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    with safe_open(path, "pt") as file:
        assert file.metadata()["about"] == '{"epoch": 3, "scores": {"en": {"CIDEr": 0.5}}}'
    loaded = load_saved_weights(path)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())
