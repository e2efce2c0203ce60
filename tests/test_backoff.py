"""When a request is made again, with a clock and dice of the test."""

from __future__ import annotations

import pytest

from showtell.backoff import ATTEMPTS, FIRST, LONGEST, Backoff


def test_waits_double_up_to_the_longest_and_the_last_error_is_raised() -> None:
    waits: list[float] = []
    tries: list[int] = []

    def request() -> None:
        tries.append(len(tries))
        raise ConnectionError(len(tries))

    with pytest.raises(ConnectionError, match=str(ATTEMPTS)):
        Backoff(sleep=waits.append, draw=lambda: 1.0).call(request, lambda error: True)
    assert len(tries) == ATTEMPTS and waits == [min(LONGEST, FIRST * 2**n) for n in range(ATTEMPTS - 1)]


def test_waits_are_drawn_below_that() -> None:
    waits: list[float] = []
    dice = iter([0.25, 0.0])
    answers = iter([ConnectionError(), ConnectionError(), None])

    def request() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "done"

    assert Backoff(sleep=waits.append, draw=lambda: next(dice)).call(request, lambda error: True) == "done"
    assert waits == [0.25 * FIRST, 0.0]


def test_what_does_not_pass_is_raised_at_once() -> None:
    tries: list[int] = []

    def request() -> None:
        tries.append(1)
        raise KeyError

    with pytest.raises(KeyError):
        Backoff(sleep=lambda seconds: pytest.fail("waited")).call(request, lambda error: False)
    assert len(tries) == 1
