"""Rate, time left and lines of a log, by a clock that the test moves."""

from __future__ import annotations

from tests.clocks import FakeClock

from showtell.bulk.progress import Progress


def test_rate_and_time_left() -> None:
    clock = FakeClock()
    progress = Progress(done=100, clock=clock)
    assert str(progress) == "100 photos, 0.0 a second"
    for _ in range(50):
        clock.advance(0.5)
        progress.advance(True)
    assert str(progress) == "150 photos, 2.0 a second"
    progress.total = 7350
    progress.advance(False)
    clock.advance(0.5)
    assert str(progress) == "151 of 7350 photos, 1 failed, 2.0 a second, 1:00:00 left"


def test_the_rate_is_that_of_late() -> None:
    clock = FakeClock()
    progress = Progress(clock=clock)
    for seconds in (10.0, 1.0):
        for _ in range(400):
            clock.advance(seconds)
            progress.advance(True)
    assert progress.rate() == 1.0


def test_a_line_a_minute_and_one_after_a_jump() -> None:
    clock = FakeClock()
    progress = Progress(clock=clock)
    lines = []
    for seconds in (59.0, 1.0, 0.5, 0.5, 58.0, 1.0, 86_400.0, 0.0, 59.0, 1.0):
        clock.advance(seconds)
        lines.append(progress.line_due() is not None)
    assert lines == [False, True, False, False, False, True, True, False, False, True]


def test_more_photos_than_were_counted() -> None:
    clock = FakeClock()
    progress = Progress(clock=clock)
    progress.total = 1
    for _ in range(2):
        clock.advance(1)
        progress.advance(True)
    assert str(progress) == "2 of 1 photos, 1.0 a second"
