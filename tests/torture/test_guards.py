"""Two guards taken out; and what the torture looks for would be found."""

import os

import pytest
from torture.guards import GUARDS, Guard
from torture.harness import ROOT, Tally

from torture import guards

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.mark.parametrize("name", ["chunks of a PNG", "listed hosts only"])
def test_without_a_guard_a_test_goes_red(name: str) -> None:
    tally = Tally()
    guards.check(name, tally)
    assert tally.failures == [] and tally.counts["guards"] == 1


@pytest.mark.parametrize("name", GUARDS)
def test_each_guard_is_where_the_list_says_and_so_are_its_tests(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    monkeypatch.setattr(guards, "setattr", lambda *arguments: taken.append(arguments), raising=False)
    guards.take_out(GUARDS[name])
    assert len(taken) == 1
    for test in GUARDS[name].tests:
        file, _, function = test.partition("::")
        assert f"def {function.partition('[')[0]}" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize(("with_guard", "without", "failures"), [(0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 4, 1), (5, 5, 2)])
def test_a_guard_that_no_test_proves_would_be_found(with_guard: int, without: int, failures: int) -> None:
    tally = Tally()
    guards.check("chunks of a PNG", tally, lambda tests, guard: with_guard if guard is None else without)
    assert len(tally.failures) == failures


def test_a_guard_with_another_name_is_noticed() -> None:
    with pytest.raises(AttributeError):
        guards.take_out(Guard("showtell.core.image:_gone", guards.nothing, ()))
