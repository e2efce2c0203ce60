import threading
import time

import pytest

from showtell.fetch.line import MOST_LOOKUPS, Deadline, Lookup


def hanging() -> int:
    return sum(thread.name == "showtell-lookup" for thread in threading.enumerate())


def test_lookups_that_hang_are_waited_for_no_longer_than_the_deadline_and_do_not_pile_up() -> None:
    answer = threading.Event()
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        answer.wait(60)
        return ["93.184.216.34"]

    lookup = Lookup(resolve)
    given_up: list[str] = []

    def ask(host: str) -> None:
        with pytest.raises(TimeoutError):
            lookup(host, 80, Deadline(0.5))
        given_up.append(host)

    before = hanging()
    callers = [threading.Thread(target=ask, args=(f"{n}.example.org",)) for n in range(MOST_LOOKUPS + 8)]
    try:
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(20)
        assert len(given_up) == len(callers)
        assert len(asked) == hanging() - before == MOST_LOOKUPS
    finally:
        answer.set()
    assert lookup("images.example.org", 80, Deadline(20)) == ["93.184.216.34"], "once they ended, others may ask"


def test_what_the_resolver_raises_is_raised_and_frees_its_place() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise OSError(host)

    lookup = Lookup(resolve)
    for n in range(2 * MOST_LOOKUPS):
        with pytest.raises(OSError, match=f"{n}.example.org"):
            lookup(f"{n}.example.org", 80, Deadline(20))


def test_a_lookup_gets_host_and_port() -> None:
    assert Lookup(lambda host, port: [f"{host} {port}"])("a.example.org", 443, Deadline(20)) == ["a.example.org 443"]


def test_a_deadline_passes() -> None:
    deadline = Deadline(0.05)
    assert 0 < deadline.left() <= 0.05
    time.sleep(0.06)
    with pytest.raises(TimeoutError):
        deadline.left()
