"""The simulation of a cluster against closed forms, and against schedules worked out by hand."""

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        import cluster_simulation

        yield cluster_simulation
        sys.modules.pop("cluster_simulation")


@pytest.mark.parametrize(("workers", "blocks"), [(1, 7), (4, 12), (4, 13), (10, 3)])
def test_equal_blocks_end_after_whole_rounds(cluster: Any, workers: int, blocks: int) -> None:
    setting = cluster.Setting(workers, blocks, block_seconds=2.5, load_seconds=5)
    outcome = cluster.Simulation(setting).run()
    assert outcome.seconds == pytest.approx(5 + 2.5 * math.ceil(blocks / workers))
    assert outcome.ideal_seconds == pytest.approx(5 + 2.5 * blocks / workers)
    assert (outcome.lost_seconds, outcome.worker_losses) == (0, 0)


def test_a_worker_with_exponential_lives_needs_the_time_that_is_known(cluster: Any) -> None:
    """A block of t seconds that begins anew at each loss, at rate r, with d seconds until the worker is back, takes
    (exp(r t) - 1) (1 / r + d) on average, and exp(r t) - 1 losses."""
    blocks, t, mean_life, d = 20_000, 1.0, 4.0, 3.0
    setting = cluster.Setting(1, blocks, t, lifetime=mean_life, restart_seconds=d)
    outcome = cluster.Simulation(setting, seed=1).run()
    losses = math.exp(t / mean_life) - 1
    # The number of losses of a block is geometric: its variance is losses (1 + losses). Four standard errors.
    bound = 4 * math.sqrt(losses * (1 + losses) / blocks)
    assert outcome.worker_losses / blocks == pytest.approx(losses, abs=bound)
    assert outcome.seconds / blocks == pytest.approx(losses * (mean_life + d), abs=bound * (mean_life + d))
    # What is lost at a loss is at most t long, near to evenly distributed: deviation t / sqrt(12).
    lost = 4 * t / math.sqrt(12 * outcome.worker_losses)
    assert outcome.lost_seconds / outcome.worker_losses == pytest.approx(mean_life - t / losses, abs=lost)


def test_a_driver_that_is_lost_takes_with_it_what_is_not_written(cluster: Any) -> None:
    """One worker and one block at a time: the driver's life plays the part of the worker's, and each begins with
    loading."""
    blocks, t, mean_life, d, load = 10_000, 1.0, 4.0, 3.0, 0.5
    setting = cluster.Setting(
        1, blocks, t, queued=1, ahead=1, driver_lifetime=mean_life, driver_restart_seconds=d, load_seconds=load
    )
    outcome = cluster.Simulation(setting, seed=2).run()
    # Between two losses a driver's life of exponential length holds floor((life - load) / t) blocks, if any.
    blocks_per_life = math.exp(-load / mean_life) / (math.exp(t / mean_life) - 1)
    assert outcome.driver_losses == pytest.approx(blocks / blocks_per_life, rel=0.05)
    assert outcome.seconds == pytest.approx(blocks / blocks_per_life * (mean_life + d), rel=0.05)


def test_the_slowest_one_sets_the_pace_where_little_may_be_ahead(cluster: Any) -> None:
    """Two workers, one three times slower, blocks of a second, at most two blocks beyond the first that is missing.

    The slow one has block 0 until 3, the other one block 1 until 1; block 2 may not begin before 0 is written, at 3.
    Then 2 goes to the slow one, which is the first in line, until 6, and 3 to the other one; and so on: two blocks in
    three seconds.
    """
    setting = cluster.Setting(2, 10, 1.0, slow_share=0.5, slow_factor=3.0, queued=1, ahead=1)
    assert cluster.Simulation(setting).run().seconds == pytest.approx(15)
    # Without order four blocks are done in three seconds: 3 by the fast one, 1 by the slow one.
    free = cluster.Simulation(replace(setting, blocks=12, ahead=12)).run()
    assert free.seconds == pytest.approx(9) == pytest.approx(free.ideal_seconds)


def test_the_driver_writes_one_block_after_the_other(cluster: Any) -> None:
    setting = cluster.Setting(100, 1000, 1.0, write_seconds=0.05)
    outcome = cluster.Simulation(setting).run()
    assert outcome.seconds == pytest.approx(1.0 + 1000 * 0.05)  # 100 workers do 100 a second; 20 can be written


def test_what_waits_is_at_most_what_may_be_ahead(cluster: Any) -> None:
    setting = cluster.Setting(
        20, 4000, 1.0, spread=0.3, slow_share=0.1, lifetime=100.0, restart_seconds=20.0, queued=2, ahead=3
    )
    outcome = cluster.Simulation(setting, seed=5).run()
    assert 20 <= outcome.buffered <= 3 * 20
    assert outcome.worker_losses > 30 and outcome.lost_seconds > 0


def test_the_same_seed_gives_the_same_run(cluster: Any) -> None:
    setting = cluster.Setting(7, 500, 1.0, spread=0.2, lifetime=50.0, restart_seconds=5.0)
    assert cluster.Simulation(setting, seed=3).run() == cluster.Simulation(setting, seed=3).run()
    assert cluster.Simulation(setting, seed=3).run() != cluster.Simulation(setting, seed=4).run()
