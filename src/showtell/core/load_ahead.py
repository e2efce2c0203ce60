"""Photos loaded by threads, ahead of the network.

Rejected: `ThreadPoolExecutor`. At the interpreter's exit it first does everything that is queued, it refuses work once
the main thread has ended although others go on, and in a forked process, which has none of its threads, it waits for
ever.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from PIL import Image

from showtell.loading import LOADER_THREADS

T = TypeVar("T")
Pending = deque[tuple[Any, "Future[Any]"]]
_SLICES: Final = 30
"""In which `patience` passes. A process that was stopped (Ctrl-Z) and goes on has lost one of them."""


class LoadingHangs(Exception):
    """An image has not been loaded in time; `image` is what was to be loaded."""

    def __init__(self, image: Any) -> None:
        super().__init__(f"{image!r} was not loaded in time")
        self.image = image


def load_ahead(
    images: Iterator[Any],
    load: Callable[[Any], T],
    batch_size: int,
    patience: float | None = None,
    threads: int = LOADER_THREADS,
) -> Iterator[list[tuple[Any, T | BaseException]]]:
    """Batches of images, each with what `load` made of it or the error that it raised; in order, and lazily.

    At most two batches are taken from `images`, with a batch size of 1 only one: a program that writes a path and waits
    for its caption before it writes the next one gets it. An error of `images` itself is raised after the batches that
    came before it. Closing the iterator waits for what is being loaded, and for nothing else. In a forked process it
    goes on with new threads.

    `patience`: for how many seconds the next image may fail to arrive; without it, for ever. Raises LoadingHangs after
    that, and leaves the thread to what it waits for.
    """
    loaders, pending, failure = _Loaders(load, patience, threads), Pending(), None
    ahead = 1 if batch_size == 1 else 2 * batch_size
    try:
        while True:
            while len(pending) < ahead:
                try:
                    image = next(images)
                except StopIteration:
                    images = iter(())
                    break
                except Exception as error:  # noqa: BLE001 (raised below)
                    images, failure = iter(()), error
                    break
                pending.append((image, _pending_already(image, pending) or loaders.submit(image)))
            if not loaders.are_here():
                loaders = _Loaders(load, patience, threads)
                pending = Pending((image, loaders.submit(image)) for image, _ in pending)
            if not pending:
                if failure is not None:
                    raise failure
                return
            batch = [pending.popleft() for _ in range(min(batch_size, len(pending)))]
            for image, future in batch:
                if patience is not None and not _is_done(future, patience):
                    loaders.abandon()
                    raise LoadingHangs(image)
            yield [(image, _outcome(future)) for image, future in batch]
    finally:
        loaders.stop(pending)


def _pending_already(image: Any, pending: Pending) -> Future[Any] | None:
    """A file or PIL image that occurs twice is loaded once: two threads would move its one position."""
    if isinstance(image, Image.Image) or hasattr(image, "seek"):
        return next((future for other, future in pending if other is image), None)
    return None


def _is_done(future: Future[Any], patience: float) -> bool:
    return any(wait([future], patience / _SLICES).done for _ in range(_SLICES))


def _outcome(future: Future[T]) -> T | BaseException:
    error = future.exception()
    return future.result() if error is None else error


class _Loaders:
    """Threads of one process."""

    def __init__(self, load: Callable[[Any], Any], patience: float | None, threads: int) -> None:
        self._pid, self._patience, self._count = os.getpid(), patience, threads
        self._jobs: SimpleQueue[tuple[Any, Future[Any]] | None] = SimpleQueue()
        arguments = self._jobs, load
        self._threads = [
            # Daemons, since the interpreter's exit waits for all others.
            threading.Thread(target=_work, args=arguments, name="showtell-load", daemon=True)
            for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, image: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.put((image, future))
        return future

    def are_here(self) -> bool:
        """Not so in a forked process."""
        return self._pid == os.getpid()

    def abandon(self) -> None:
        """`stop` does not wait for these threads: one of them hangs."""
        self._threads = []

    def stop(self, pending: Pending) -> None:
        # A lock of the other process, or of threads that the interpreter's exit has stopped, may never be released.
        if not self.are_here() or sys.is_finalizing():
            return
        for _, future in pending:
            future.cancel()
        for _ in range(self._count):
            self._jobs.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():  # where the garbage collector happens to run
                thread.join(self._patience)


def _work(jobs: SimpleQueue[tuple[Any, Future[Any]] | None], load: Callable[[Any], Any]) -> None:
    while (job := jobs.get()) is not None:
        image, future = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(load(image))
            except BaseException as error:  # noqa: BLE001 (whoever waits for the image gets it)
                future.set_exception(error)
        del job, image, future
