import math

import pytest

from showtell.train.schedule import warmup_cosine


def test_by_hand() -> None:
    assert [warmup_cosine(step, 10, 0.2) for step in (0, 1, 2)] == [0.5, 1, 1]
    assert warmup_cosine(6, 10, 0.2) == pytest.approx(0.5)  # half of the eight steps that fall
    assert warmup_cosine(4, 10, 0.2) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert warmup_cosine(10, 10, 0.2) == pytest.approx(0)


@pytest.mark.parametrize("warmup", [0, 0.05, 0.5, 0.999])
@pytest.mark.parametrize("total", [1, 2, 7, 1000])
def test_rises_once_to_1_and_falls_towards_0(total: int, warmup: float) -> None:
    factors = [warmup_cosine(step, total, warmup) for step in range(total)]
    top = factors.index(max(factors))
    assert factors[top] == 1 and all(0 < factor <= 1 for factor in factors)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert top == max(0, round(warmup * total) - 1)


def test_half_a_cosine_falls_as_much_before_its_middle_as_after() -> None:
    for step in range(1, 1001):
        assert warmup_cosine(step, 1001, 0) + warmup_cosine(1002 - step, 1001, 0) == pytest.approx(1)
