"""What is said of the time that a run takes: worked out by hand."""

import pytest

from showtell.progress import duration
from showtell.settings import SelfCriticalSettings, TrainSettings
from showtell.train.pace import STEPS, Pace


def test_the_median_step_times_the_steps_that_are_left_is_said_once() -> None:
    said: list[str] = []
    pace = Pace(TrainSettings(epochs=3), 0, said.append)
    for step in range(1, 3 * STEPS):
        pace.add(90.0 if step == 1 else 2.0, step, STEPS + 1800)
    assert said == ["1800 steps are left: about 1 h 0 min at this speed; and the validation"]


@pytest.mark.parametrize(("epoch", "slower"), [(0, True), (1, True), (2, False)])
def test_steps_that_will_be_slower_are_announced(epoch: int, slower: bool) -> None:
    said: list[str] = []
    settings = TrainSettings(epochs=9, trainable_encoder_stages=2, unfreeze_encoder_at_epoch=2)
    pace = Pace(settings, epoch, said.append)
    for step in range(STEPS):
        pace.add(1.0, step, 100)
    assert ("more from epoch 3 on" in said[0]) is slower


def test_self_critical_steps_are_announced() -> None:
    said: list[str] = []
    settings = TrainSettings(epochs=9, self_critical=SelfCriticalSettings(start_epoch=5))
    pace = Pace(settings, 0, said.append)
    for step in range(STEPS):
        pace.add(1.0, step, 100)
    assert ", more from epoch 6 on, when captions are sampled; and" in said[0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (101, "2 min"), (3580, "1 h 0 min"), (190 * 60, "3 h 10 min"), (190800, "2 days 5 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
