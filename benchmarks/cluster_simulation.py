"""A run on a cluster as discrete events: blocks of photos, workers that are slow or vanish, and rows in order.

    driver:  gives blocks out in their order, at most `ahead` per worker beyond those whose rows are written
    worker:  has at most `queued` blocks, of which it does one
    driver:  takes finished blocks in their order and writes their rows, one block at a time

A worker that is lost comes back after `restart_seconds`, with nothing. Its blocks are given out again, each to a worker
that has nothing else, as `bulk/ray_engine.py` does to find out which block ends processes. A driver that is lost takes
all blocks with it whose rows are not written. Time is in seconds.

Rejected: simpy. Its processes are generators, some ten times slower than these few kinds of events; a thousand workers
for an hour are two million blocks.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Setting:
    """What a run is like."""

    workers: int
    blocks: int
    block_seconds: float
    """Median time of a block."""
    spread: float = 0.0
    """Standard deviation of the logarithm of a block's time."""
    slow_share: float = 0.0
    slow_factor: float = 3.0
    """A share of the workers needs this many times as long for everything, all the time."""
    load_seconds: float = 0.0
    """Before a new worker takes its first block."""
    lifetime: float = math.inf
    """Mean of the exponential time until a worker is lost."""
    restart_seconds: float = 0.0
    """From the loss of a worker to its next block: another machine and the model."""
    queued: int = 2
    ahead: int = 8
    window: int | None = None
    """At most so many blocks altogether beyond those whose rows are written, where that is fewer."""
    alone: bool = True
    """Blocks of lost workers wait for a worker that has nothing else; False: they go to the first that has room."""
    write_seconds: float = 0.0
    """The driver's time for the rows of a block."""
    driver_lifetime: float = math.inf
    driver_restart_seconds: float = 0.0


@dataclass
class Outcome:
    seconds: float
    ideal_seconds: float
    """All blocks on these workers with no loss, no order and no driver."""
    lost_seconds: float
    """Of workers, on blocks that were done again."""
    buffered: int
    """Most finished blocks whose rows waited for those before them."""
    worker_losses: int
    driver_losses: int
    needed_seconds: float
    """Of workers, for all blocks once."""

    @property
    def share_of_ideal(self) -> float:
        return self.ideal_seconds / self.seconds

    @property
    def done_twice(self) -> float:
        """Work that was thrown away, of all work that was needed."""
        return self.lost_seconds / self.needed_seconds


@dataclass
class _Worker:
    slowness: float
    is_there: bool = False
    epoch: int = 0
    """Counts losses: events of earlier lives are void."""
    begun: float = 0.0
    is_closed: bool = False
    """It has a block of a lost worker, and takes no other."""
    blocks: deque[int] = field(default_factory=deque)
    """The first one is being done."""


DONE, LOST, BACK, WRITTEN, DRIVER_LOST, DRIVER_BACK = range(6)


class Simulation:
    def __init__(self, setting: Setting, seed: int = 0) -> None:
        self._set, self._draw, self._now = setting, random.Random(seed), 0.0
        slow = round(setting.slow_share * setting.workers)
        self._workers = [_Worker(setting.slow_factor if n < slow else 1.0) for n in range(setting.workers)]
        self._events: list[tuple[float, int, int, int, int]] = []
        self._number = 0
        self._times: dict[int, float] = {}
        self._finished: set[int] = set()
        self._again: list[int] = []
        self._next = self._written = self._losses = self._driver_losses = self._buffered = 0
        self._is_writing = self._is_driver_lost = False
        self._driver_epoch = 0
        self._free: list[tuple[int, int]] = []
        """Workers that can take a block: (blocks that they have, worker); may be out of date."""
        self._lost_seconds = self._needed = 0.0

    def run(self) -> Outcome:
        setting = self._set
        for worker in range(setting.workers):
            self._after(setting.load_seconds, BACK, worker, 0)
        self._plan_driver_loss()
        while self._written < setting.blocks:
            self._now = self._events[0][0]
            while self._events and self._events[0][0] == self._now:  # else the first of many would get two blocks
                _, _, kind, worker, epoch = heapq.heappop(self._events)
                if kind in (WRITTEN, DRIVER_LOST, DRIVER_BACK):
                    if epoch == self._driver_epoch:
                        self._driver(kind)
                elif epoch == self._workers[worker].epoch:
                    self._worker(kind, worker)
            self._write()
            self._give()
        speed = sum(1 / worker.slowness for worker in self._workers)
        ideal = setting.load_seconds + self._needed / speed
        return Outcome(
            self._now, ideal, self._lost_seconds, self._buffered, self._losses, self._driver_losses, self._needed
        )

    def _after(self, seconds: float, kind: int, worker: int, epoch: int) -> None:
        self._number += 1
        heapq.heappush(self._events, (self._now + seconds, self._number, kind, worker, epoch))

    def _worker(self, kind: int, number: int) -> None:
        worker, setting = self._workers[number], self._set
        if kind == DONE:
            block = worker.blocks.popleft()
            self._finished.add(block)
            worker.is_closed = False
            self._buffered = max(self._buffered, len(self._finished))
            self._begin_block(number)
            self._offer(number)
        elif kind == LOST:
            self._losses += 1
            self._take_back(worker)
            self._after(setting.restart_seconds, BACK, number, worker.epoch)
        else:
            worker.is_there = True
            if setting.lifetime < math.inf:
                self._after(self._draw.expovariate(1 / setting.lifetime), LOST, number, worker.epoch)
            self._offer(number)

    def _take_back(self, worker: _Worker) -> None:
        if worker.blocks:
            self._lost_seconds += (self._now - worker.begun) / worker.slowness
        for block in worker.blocks:
            heapq.heappush(self._again, block)
        worker.blocks.clear()
        worker.is_there = worker.is_closed = False
        worker.epoch += 1

    def _driver(self, kind: int) -> None:
        if kind == WRITTEN:
            self._finished.discard(self._written)
            del self._times[self._written]
            self._written += 1
            self._is_writing = False
            return
        if kind == DRIVER_BACK:
            self._is_driver_lost = False
            for number, worker in enumerate(self._workers):
                self._after(self._set.load_seconds, BACK, number, worker.epoch)
            self._plan_driver_loss()
            return
        self._driver_losses += 1
        self._driver_epoch += 1
        self._is_driver_lost, self._is_writing = True, False
        for worker in self._workers:
            self._take_back(worker)
        self._lost_seconds += sum(self._times[block] for block in self._finished)
        self._finished.clear()
        self._again, self._free = [], []
        self._next = self._written
        self._after(self._set.driver_restart_seconds, DRIVER_BACK, 0, self._driver_epoch)

    def _plan_driver_loss(self) -> None:
        if self._set.driver_lifetime < math.inf:
            seconds = self._draw.expovariate(1 / self._set.driver_lifetime)
            self._after(seconds, DRIVER_LOST, 0, self._driver_epoch)

    def _write(self) -> None:
        if not self._is_writing and not self._is_driver_lost and self._written in self._finished:
            self._is_writing = True
            self._after(self._set.write_seconds, WRITTEN, 0, self._driver_epoch)

    def _give(self) -> None:
        setting = self._set
        ahead = setting.ahead * setting.workers
        window = ahead if setting.window is None else min(setting.window, ahead)
        limit = min(self._written + window, setting.blocks)
        while self._free and not self._is_driver_lost and (self._again or self._next < limit):
            load, number = self._free[0]
            worker = self._workers[number]
            if not worker.is_there or worker.is_closed or len(worker.blocks) != load:
                heapq.heappop(self._free)  # another entry says what it has now
                continue
            if self._again and (load == 0 or not setting.alone):
                block, worker.is_closed = heapq.heappop(self._again), setting.alone
            elif self._next < limit:
                block, self._next = self._next, self._next + 1
            else:
                break
            heapq.heappop(self._free)
            worker.blocks.append(block)
            if load == 0:
                self._begin_block(number)
            self._offer(number)

    def _begin_block(self, number: int) -> None:
        worker = self._workers[number]
        if worker.blocks:
            worker.begun = self._now
            self._after(self._seconds(worker.blocks[0]) * worker.slowness, DONE, number, worker.epoch)

    def _offer(self, number: int) -> None:
        blocks = len(self._workers[number].blocks)
        if blocks < self._set.queued and not self._workers[number].is_closed:
            heapq.heappush(self._free, (blocks, number))

    def _seconds(self, block: int) -> float:
        """Of a worker that is not slow; the same each time that the block is done."""
        if block not in self._times:
            factor = math.exp(self._draw.gauss(0, self._set.spread)) if self._set.spread else 1.0
            self._times[block] = self._set.block_seconds * factor
            self._needed += self._times[block]
        return self._times[block]
