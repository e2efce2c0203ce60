from showtell.serve.fair_limiter import FairLimiter


def test_one_client_leaves_the_last_quarter_to_others() -> None:
    limiter = FairLimiter(8)
    assert [limiter.try_acquire("greedy") for _ in range(8)] == [True] * 6 + [False] * 2
    assert limiter.try_acquire("a") and not limiter.try_acquire("a"), "another client gets one of the reserve"
    assert limiter.try_acquire("b") and not limiter.try_acquire("c"), "nothing is left"
    limiter.release("greedy")
    assert not limiter.try_acquire("greedy") and limiter.try_acquire("c"), "released tokens refill the reserve first"


def test_zero_tokens_are_always_granted() -> None:
    limiter = FairLimiter(4)
    assert [limiter.try_acquire("a") for _ in range(4)] == [True] * 3 + [False]
    assert limiter.try_acquire("a", 0)
    limiter.release("a", 0)


def test_released_tokens_can_be_taken_by_the_same_client() -> None:
    limiter = FairLimiter(1)
    for _ in range(3):
        assert limiter.try_acquire("a") and not limiter.try_acquire("b")
        limiter.release("a")


def test_a_client_that_holds_few_tokens_may_use_the_reserve() -> None:
    limiter = FairLimiter(100, reserve_per_client=20)
    assert limiter.try_acquire("greedy", 75) and not limiter.try_acquire("greedy", 1)
    assert limiter.try_acquire("a", 5) and limiter.try_acquire("a", 15) and not limiter.try_acquire("a", 1)
    assert limiter.try_acquire("b", 5) and not limiter.try_acquire("b", 1), "100 are taken"
