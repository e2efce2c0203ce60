"""Captions on Ray: inputs go out in blocks to worker processes that have loaded the model once, rows come in in order.

    images -> blocks -> a worker that has room -> outcomes -> rows, when it is the block's turn
                           ^         |
                           `---------' its process died: again, alone; then its inputs one by one; then `crashed`

A block is read from the source when a worker can take it, and only so many blocks are between the first one that is not
done and the last one that was read: memory does not depend on the number of inputs. Sink and ledger stay in the driver,
and so a run goes on after an interruption as it does without Ray.

Rejected: Ray Data. Its sources are lists of read tasks that are known at the start (`from_items` holds all inputs, and
a read task that took them from the driver could not be run again after a failure), and a record that ends its process
is given to a new one without end: `map_batches` over 400 rows, of which number 150 aborts, stays there. Rejected: Ray's
own restarts of actors (`max_restarts`, `max_task_retries`), for the same reason. A dead worker is replaced by a new
one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ray

from showtell import __version__
from showtell.bulk.ray_block import Block, Task, read_block
from showtell.bulk.ray_worker import Engine, Worker, WorkerFailure
from showtell.core.sources import ImageInput
from showtell.errors import ShowtellError
from showtell.records import CaptionRow

BLOCKS_PER_WORKER: Final = 2
"""One that it works on, and one that waits there, so that it need not wait for the driver."""
WINDOW_PER_WORKER: Final = 8
"""Blocks between the first that is not done and the last that was read. A slow worker holds up the others only when
they have done the rest of them."""
WINDOW_BYTES: Final = 64 * 1024 * 1024
"""Of inputs that travel as bytes, for each worker: eight blocks of photos of 100 kB are 51 MB."""
MAX_BLOCK_DEATHS: Final = 2
"""Before its inputs go out one by one."""
MAX_INPUT_DEATHS: Final = 3
"""Before an input is `crashed`; a machine that is taken away three times with the same one is improbable."""
MAX_FAILED_STARTS: Final = 5
"""In a row, for each worker."""
POLL_SECONDS: Final = 0.5
WAITING_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Workers:
    count: int
    cpus: int
    """Of each."""
    gpus: float = 0
    """Of each; for engines that use one."""
    block_size: int = 64
    """Inputs that travel together, and are done again when their process dies."""


@dataclass(eq=False)
class _Process:
    actor: Any
    tasks: list[Task] = field(default_factory=list)
    is_ready: bool = False

    @property
    def has_suspect(self) -> bool:
        return any(task.is_suspect for task in self.tasks)


class RayEngine:
    """An engine for `bulk.run`, within `ray_cluster.connected`. One iterator at a time."""

    def __init__(
        self,
        load: Callable[[], Engine],
        workers: Workers,
        check: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`load`: called in each worker. `check`: called often, may raise to end the run: Ray swallows what handlers of
        signals raise. `say`: a line for the user."""
        self._load, self._workers, self._check, self._say = load, workers, check, say
        options = {"num_cpus": workers.cpus, "num_gpus": workers.gpus, "max_restarts": 0}
        self._actor = ray.remote(Worker).options(**options)
        self._processes: list[_Process] = []
        self._running: dict[Any, tuple[_Process, Task | None]] = {}
        """Ray's reference -> where, and what; None: the start of a worker."""
        self._new: deque[Task] = deque()
        self._again: deque[Task] = deque()
        self._window: deque[Block] = deque()
        self._failed_starts = 0
        self._polls_without_worker = 0
        self._failure: Exception | None = None

    def __call__(self, images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        """Raises ShowtellError when workers cannot be started, or fail on all inputs for the same reason."""
        try:
            is_more = self._read(images)
            if is_more or (self._window and not self._window[0].is_done):  # else all was done before
                for _ in range(self._workers.count):
                    self._start_worker()
            while is_more or self._window:
                self._check()
                while self._window and self._window[0].is_done:
                    yield from self._window.popleft().rows()
                self._dispatch()
                if is_more and self._has_room():
                    is_more = self._read(images)
                    self._collect(0)  # the source may be slow: what is done meanwhile does not wait for its next block
                elif (is_more or self._window) and not (self._window and self._window[0].is_done):
                    self._collect(POLL_SECONDS)
            if self._failure is not None:  # of the source, after the rows of the inputs before it
                raise self._failure
        finally:
            self._stop()

    def _read(self, images: Iterator[ImageInput]) -> bool:
        """Take the next block. False at the end of the inputs."""
        block, self._failure, is_more = read_block(images, self._workers.block_size)
        if block.images:
            self._window.append(block)
        if (task := block.task()) is not None:
            self._new.append(task)
        return is_more

    def _has_room(self) -> bool:
        is_window_full = len(self._window) >= WINDOW_PER_WORKER * self._workers.count
        is_memory_full = sum(block.size for block in self._window) >= WINDOW_BYTES * self._workers.count
        return not (is_window_full or is_memory_full or self._new) and self._process_with_room() is not None

    def _dispatch(self) -> None:
        """What was in a process that died goes to one that has nothing else, such as its successor, so that the next
        death shows which of the tasks causes it."""
        idle = [process for process in self._processes if process.is_ready and not process.tasks]
        while self._again and idle:
            self._submit(idle.pop(), self._again.popleft())
        while self._new and (process := self._process_with_room()) is not None:
            self._submit(process, self._new.popleft())

    def _process_with_room(self) -> _Process | None:
        """The one with the least to do, without a suspect."""
        ready = (process for process in self._processes if process.is_ready and not process.has_suspect)
        process = min(ready, key=lambda process: len(process.tasks), default=None)
        return process if process is not None and len(process.tasks) < BLOCKS_PER_WORKER else None

    def _submit(self, process: _Process, task: Task) -> None:
        process.tasks.append(task)
        self._running[process.actor.caption.remote(task.images())] = process, task

    def _collect(self, seconds: float) -> None:
        """Take what is done, after waiting for something to be."""
        references = list(self._running)
        done, _ = ray.wait(references, num_returns=1, timeout=seconds)
        if done:
            done, _ = ray.wait(references, num_returns=len(references), timeout=0)
        for reference in done:
            self._take(reference)
        self._polls_without_worker += not (done or any(process.is_ready for process in self._processes))
        if self._polls_without_worker == int(WAITING_SECONDS / POLL_SECONDS):
            self._say(f"no worker has started for a minute; waiting for a machine with {self._workers.cpus} free CPUs")

    def _take(self, reference: Any) -> None:
        if reference not in self._running:  # of a process that another result has shown to be dead
            return
        process, task = self._running.pop(reference)
        try:
            found = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise ShowtellError(f"--engine ray: a worker failed ({_last_line(error)}); report it") from error
        except ray.exceptions.RayError as error:
            self._replace(process, task, error)
            return
        if isinstance(found, WorkerFailure):
            raise ShowtellError(f"--engine ray: {found.message}")
        if task is None:
            process.is_ready, self._failed_starts = True, 0
        else:
            process.tasks.remove(task)
            task.finish(found)

    def _replace(self, process: _Process, task: Task | None, error: Exception) -> None:
        """After the death of its process, or the loss of the machine. All that it had is done again."""
        if task is None:
            self._failed_starts += 1
            if self._failed_starts > MAX_FAILED_STARTS * self._workers.count:
                raise ShowtellError(
                    f"--engine ray: workers die when they start ({_last_line(error)}); see that showtell[ray] is "
                    "installed on all machines, with memory for the model"
                ) from error
        ray.kill(process.actor)  # a machine that only cannot be reached must not go on for nothing
        self._running = {key: value for key, value in self._running.items() if value[0] is not process}
        self._processes.remove(process)
        for lost in process.tasks:
            self._again.extend(lost.after_death(MAX_BLOCK_DEATHS, MAX_INPUT_DEATHS))
        self._start_worker()

    def _start_worker(self) -> None:
        process = _Process(self._actor.remote(self._load, str(Path.cwd()), __version__))
        self._processes.append(process)
        self._running[process.actor.start.remote()] = process, None

    def _stop(self) -> None:
        for process in self._processes:
            ray.kill(process.actor)
        self._processes, self._running = [], {}


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
