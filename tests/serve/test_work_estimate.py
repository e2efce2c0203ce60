"""How long photos will take: figures worked out by hand."""

import pytest
from tests.clocks import FakeClock

from showtell.serve.work_estimate import INITIAL_SECONDS_PER_IMAGE, WorkEstimate


def estimate(clock: FakeClock) -> WorkEstimate:
    return WorkEstimate(clock, batch_size=4, loaders=2)


def run(work: WorkEstimate, clock: FakeClock, images: int, seconds: float) -> None:
    work.begin_batch(images)
    clock.advance(seconds)
    assert work.end_batch() == pytest.approx(seconds)


def test_batches_weigh_by_their_images_and_less_with_each_other_one() -> None:
    clock = FakeClock()
    work = estimate(clock)
    assert work.seconds_per_image == INITIAL_SECONDS_PER_IMAGE
    run(work, clock, 1, 0.5)  # the first is believed, as if it were a batch of four
    assert work.seconds_per_image == pytest.approx(0.5)
    run(work, clock, 4, 0.4)
    assert work.seconds_per_image == pytest.approx((0.8 * 2.0 + 0.4) / (0.8 * 4 + 4))
    run(work, clock, 1, 0.7)
    assert work.seconds_per_image == pytest.approx((0.64 * 2.0 + 0.8 * 0.4 + 0.7) / (0.64 * 4 + 0.8 * 4 + 1))


def test_a_batch_that_takes_longer_counts_before_it_has_ended() -> None:
    clock = FakeClock()
    work = estimate(clock)
    run(work, clock, 4, 0.4)
    work.begin_batch(4)
    assert work.seconds_per_image == pytest.approx(0.1)
    clock.advance(8.0)
    assert work.seconds_per_image == pytest.approx((0.4 + 8.0) / 8)
    work.fail_batch()  # what was wrong with it was not that photos take so long
    assert work.seconds_per_image == pytest.approx(0.1)


def test_loading_counts_where_it_is_slower_than_the_model() -> None:
    clock = FakeClock()
    work = estimate(clock)
    run(work, clock, 4, 0.4)
    for _ in range(4):  # a batch of them weighs as much as before them
        work.image_loaded(3.0)
    weights = [0.8 ** (n / 4) for n in range(5)]
    per_image = 3.0 * sum(weights[:4]) / (sum(weights[:4]) + 4 * weights[4])
    assert work.seconds_per_image == pytest.approx(per_image / 2)  # by two threads
    assert per_image / 2 > 0.5


def test_images_leave_a_batch_at_a_time() -> None:
    clock = FakeClock()
    work = estimate(clock)
    run(work, clock, 4, 4.0)
    assert work.seconds_until_done(1, 9) == work.seconds_until_done(4, 9) == pytest.approx(4.0)
    assert work.seconds_until_done(5, 9) == pytest.approx(8.0)
    assert work.seconds_until_done(5, 6) == pytest.approx(6.0)  # the second batch is not full
    work.begin_batch(3)
    clock.advance(1.0)
    assert work.seconds_until_done(3, 9) == pytest.approx(2.0)  # the rest of the running batch
    assert work.seconds_until_done(4, 9) == pytest.approx(6.0)


def test_it_is_recent_for_a_minute_after_a_batch() -> None:
    clock = FakeClock()
    work = estimate(clock)
    assert not work.is_recent
    run(work, clock, 4, 0.4)
    clock.advance(59.9)
    assert work.is_recent
    clock.advance(0.2)
    assert not work.is_recent
