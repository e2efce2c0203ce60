import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

from showtell.settings import TrainSettings
from showtell.train.schedule import learning_factor, meets_plateau, teacher_forcing


def factors(steps_per_epoch: int, drops: int = 0, **settings: object) -> list[float]:
    """Of every step of a run."""
    train = TrainSettings(**settings)
    return [
        learning_factor(train, step, steps_per_epoch * train.epochs, step // steps_per_epoch, drops)
        for step in range(steps_per_epoch * train.epochs)
    ]


# --- warm-up and cosine


def test_cosine_by_hand() -> None:
    found = factors(5, epochs=2, warmup_ratio=0.2)
    assert found[:3] == [0.5, 1, 1]
    assert found[4] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert found[6] == pytest.approx(0.5)  # half of the eight steps that fall
    assert learning_factor(TrainSettings(epochs=2, warmup_ratio=0.2), 10, 10, 2, 0) == pytest.approx(0)


@pytest.mark.parametrize("warmup", [0, 0.05, 0.5, 0.999])
@pytest.mark.parametrize("epochs, steps", [(1, 1), (2, 1), (1, 7), (10, 100)])
def test_cosine_rises_once_to_1_and_falls_towards_0(epochs: int, steps: int, warmup: float) -> None:
    found = factors(steps, epochs=epochs, warmup_ratio=warmup)
    top = found.index(max(found))
    assert found[top] == 1 and all(0 < factor <= 1 for factor in found)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert top == max(0, round(warmup * epochs * steps) - 1)


def test_half_a_cosine_falls_as_much_before_its_middle_as_after() -> None:
    found = factors(1001, epochs=1, warmup_ratio=0)
    assert all(found[step] + found[1002 - step] == pytest.approx(1) for step in range(2, 1001))


@pytest.mark.parametrize("schedule", ["cosine", "exponential", "plateau", "constant"])
def test_every_schedule_begins_with_the_same_warm_up(schedule: str) -> None:
    found = factors(10, epochs=2, schedule=schedule, warmup_ratio=0.2, lr_factor=0.5)
    assert found[:4] == [0.25, 0.5, 0.75, 1]
    assert (
        found[4:]
        == {
            "cosine": [0.5 * (1 + math.cos(math.pi * n / 16)) for n in range(16)],
            "exponential": [1] * 6 + [0.5] * 10,
            "plateau": [1] * 16,
            "constant": [1] * 16,
        }[schedule]
    )


# --- the others


@pytest.mark.parametrize("decay", [0.995, 0.5])
def test_exponential_equals_torchs_per_epoch(decay: float) -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    scheduler = ExponentialLR(optimizer, decay)
    expected = []
    for _ in range(50):
        expected += [scheduler.get_last_lr()[0]] * 3
        optimizer.step()
        scheduler.step()
    assert factors(3, epochs=50, warmup_ratio=0, schedule="exponential", lr_factor=decay) == pytest.approx(
        expected, rel=1e-12
    )


def test_only_plateau_falls_with_its_drops() -> None:
    found = factors(3, drops=2, epochs=4, warmup_ratio=0, schedule="plateau", lr_factor=0.2)
    assert found == pytest.approx([1] + [0.04] * 11)  # the first step belongs to the warm-up, whatever that is
    for schedule in ("cosine", "exponential", "constant"):
        settings = {"epochs": 4, "warmup_ratio": 0, "schedule": schedule, "lr_factor": 0.2}
        assert factors(3, drops=2, **settings) == factors(3, **settings)


def falls(since_gain: list[int], **settings: int) -> list[int]:
    """The epochs, from 1, after which the rate falls, when so many epochs went by without gain at each."""
    train = TrainSettings(schedule="plateau", **settings)
    return [epoch for epoch, without in enumerate(since_gain, start=1) if meets_plateau(train, epoch, without)]


def test_a_plateau_of_one_epoch_is_every_epoch_without_gain() -> None:
    assert falls([0, 1, 2, 0, 0, 1, 0, 1, 2, 3]) == [2, 3, 6, 8, 9, 10]


def test_a_longer_plateau_counts_anew_after_each_fall_and_each_gain() -> None:
    assert falls([0, *range(1, 18)], plateau_patience=8) == [9, 17]
    assert falls([0, *range(1, 8), 0, *range(1, 9)], plateau_patience=8) == [17]


def test_no_fall_in_the_first_epochs() -> None:
    # Ten epochs run at the first rate; what the tenth does not gain slows the eleventh.
    assert falls([0, *range(1, 13)], plateau_start_epoch=10) == [10, 11, 12, 13]
    assert falls([0] * 9 + [1], plateau_start_epoch=10) == [10]
    assert falls([0] * 8 + [1, 0], plateau_start_epoch=10) == []


@pytest.mark.parametrize("schedule", ["cosine", "exponential", "constant"])
def test_other_schedules_know_no_plateau(schedule: str) -> None:
    assert not any(meets_plateau(TrainSettings(schedule=schedule), epoch, 1) for epoch in range(1, 20))


# --- scheduled sampling


def forcing(steps_per_epoch: int, **settings: object) -> list[float]:
    train = TrainSettings(**settings)
    return [
        teacher_forcing(train, step, steps_per_epoch * train.epochs) for step in range(steps_per_epoch * train.epochs)
    ]


def test_teacher_forcing_is_constant_without_an_end() -> None:
    assert set(forcing(3, epochs=4)) == {1.0}
    assert set(forcing(3, epochs=4, teacher_forcing=0.7)) == {0.7}


def test_teacher_forcing_falls_linearly_from_the_first_step_to_the_last() -> None:
    assert forcing(3, epochs=2, teacher_forcing_end=0.5) == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert forcing(5, epochs=1, teacher_forcing=0.2, teacher_forcing_end=1) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert forcing(1, epochs=1, teacher_forcing=0.9, teacher_forcing_end=0.0) == [0.9]
