import threading

import pytest
from tests.clocks import HANG_SECONDS, FakeClock

from showtell.fetch.deadline import Deadline
from showtell.fetch.resolver import MAX_CONCURRENT_LOOKUPS, Resolver


def never() -> Deadline:
    """From now: a deadline made when the file is imported would pass while other tests run."""
    return Deadline(HANG_SECONDS)


def test_a_deadline_passes() -> None:
    clock = FakeClock()
    deadline = Deadline(0.5, clock)
    clock.advance(0.375)
    assert deadline.remaining() == 0.125
    clock.advance(0.125)
    with pytest.raises(TimeoutError):
        deadline.remaining()


def test_hanging_lookups_end_at_the_deadline_and_do_not_pile_up() -> None:
    release = threading.Event()
    lookups: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        lookups.append(host)
        assert release.wait(HANG_SECONDS)
        return ["93.184.216.34"]

    resolver = Resolver(resolve)
    timed_out: list[str] = []

    def look_up(host: str) -> None:
        with pytest.raises(TimeoutError):
            resolver(host, 80, Deadline(0.1))
        timed_out.append(host)

    def look_up_together(*hosts: str) -> None:
        callers = [threading.Thread(target=look_up, args=(host,)) for host in hosts]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(HANG_SECONDS)
        assert set(hosts) <= set(timed_out)

    try:
        # Again for those whose deadline had passed before their lookup began, on a machine that is busy.
        while len(lookups) < MAX_CONCURRENT_LOOKUPS:
            look_up_together(*(f"{n}.example.org" for n in range(len(lookups), MAX_CONCURRENT_LOOKUPS)))
        look_up_together(*(f"waiting{n}.example.org" for n in range(8)))
        assert len(lookups) == MAX_CONCURRENT_LOOKUPS
    finally:
        release.set()
    assert resolver("images.example.org", 80, never()) == ["93.184.216.34"], "slots are free again"


def test_errors_of_the_lookup_are_raised_and_free_its_slot() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise OSError(host)

    resolver = Resolver(resolve)
    for n in range(2 * MAX_CONCURRENT_LOOKUPS):
        with pytest.raises(OSError, match=f"{n}.example.org"):
            resolver(f"{n}.example.org", 80, never())


def test_a_lookup_gets_host_and_port() -> None:
    assert Resolver(lambda host, port: [f"{host} {port}"])("a.example.org", 443, never()) == ["a.example.org 443"]
