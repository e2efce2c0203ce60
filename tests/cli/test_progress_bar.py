"""Where there is no terminal, progress is a line of a log."""

from __future__ import annotations

import threading

import pytest
from tests.clocks import HANG_SECONDS, FakeClock

from showtell.bulk.progress import Progress
from showtell.cli.progress_bar import progress_bar


def test_a_line_a_minute_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock, counted = FakeClock(), threading.Event()
    progress = Progress(done=60, clock=clock)

    def count() -> int:
        counted.set()
        return 240

    with progress_bar(in_log=True, progress=progress, count=count) as advance:
        assert counted.wait(HANG_SECONDS)
        for thread in threading.enumerate():
            if thread.name == "showtell-count":
                thread.join()
        for number in range(119):
            clock.advance(1)
            advance(number != 3)
    assert capsys.readouterr().err == "showtell: 120 of 240 photos, 1 failed, 1.0 a second, 0:02:00 left\n"


def test_nothing_without_a_terminal_or_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    with progress_bar(progress=Progress(clock=clock), count=lambda: pytest.fail("counted for nobody")) as advance:
        clock.advance(100)
        advance(True)
    assert capsys.readouterr().err == ""


def test_inputs_that_cannot_be_counted_stop_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    with progress_bar(in_log=True, progress=Progress(clock=clock), count=lambda: 1 // 0) as advance:
        clock.advance(60)
        advance(True)
    assert capsys.readouterr().err == "showtell: 1 photos, 0.0 a second\n"
