import os
import signal

import pytest
from tests.clocks import FakeClock

from showtell.train.stop_signal import REPEAT_SECONDS, Interrupted, catch_stop_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_sets_a_flag_and_gives_the_exit_code(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as raised, catch_stop_signal() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), number)
        assert should_stop()
        raise Interrupted
    assert raised.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_signals_that_come_together_are_one_and_a_later_one_acts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a batch system sends SIGTERM to a job, and torchrun forwards its own."""
    clock = FakeClock()
    monkeypatch.setattr("showtell.train.stop_signal.time.monotonic", clock)
    acted: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: acted.append(number))
    try:
        with catch_stop_signal() as should_stop:
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
                os.kill(os.getpid(), number)
                clock.advance(0.5)
            assert should_stop() and not acted
            clock.advance(REPEAT_SECONDS)
            os.kill(os.getpid(), signal.SIGTERM)
            assert acted == [signal.SIGTERM]
            os.kill(os.getpid(), signal.SIGTERM)
            assert len(acted) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_ignored_signal_stays_ignored() -> None:
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with catch_stop_signal() as should_stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not should_stop() and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
