"""Requests meet here: their photos wait in one bounded queue and go through the network together.

    submit -> loader threads: bytes to pixels -> network thread: photos that ask for the same, in batches -> outcomes

Clients take turns, and so do the requests of each, photo by photo: a request with one photo beside one with 32, or
beside a client with 40 requests, waits for one or two batches, not for all of them. The turn also decides what is run
next, so that no language or beam width waits behind a popular one.

Threads, not asyncio: ONNX Runtime and Pillow release the interpreter while they work, and a batch must not hold up the
event loop that tells other clients that the queue is full.

Rejected: a queue of requests that are run whole (a large one delays all behind it), and padding requests that ask for
different beams into one search (a caption must not depend on what else is in its batch).
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, Protocol

from showtell.core.captioner import Ask, Prepared
from showtell.errors import BadImage, ShowtellError
from showtell.records import Caption
from showtell.serve.clients import KEPT
from showtell.serve.limits import Limits

LOADERS = 2
"""Threads that load photos; decoding a JPEG takes a tenth of the network's time for it."""
FIRST_GUESS = 0.1
"""Seconds for a photo, until the first batch has been timed."""

Outcome = tuple[Caption, ...] | BadImage
"""Of one photo: captions, best first, or what is wrong with it."""


class Network(Protocol):
    """What the batcher needs of a Captioner."""

    def prepare(self, image: Any, max_pixels: int) -> Prepared: ...

    def caption_prepared(self, photos: Sequence[Prepared], ask: Ask) -> list[tuple[Caption, ...]]: ...


class QueueFull(ShowtellError):
    """No room at present. `retry_after`: in so many seconds, as things go, there will be."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"{waiting} photos are waiting, which is the limit; try again in {retry_after} s")
        self.retry_after = retry_after


class Stopping(ShowtellError):
    """The server finishes what it has admitted and takes nothing new."""

    def __init__(self) -> None:
        super().__init__("the server is stopping; try again later")


@dataclass
class _Turns:
    """When somebody had a turn last, or came; whoever's number is smallest is next."""

    load: int
    run: int


@dataclass(eq=False)
class _Client:
    name: str
    turns: _Turns
    waiting: int = 0
    """Photos, as in `Batcher.waiting`."""


@dataclass(eq=False)
class _Request:
    client: _Client
    turns: _Turns
    ask: Ask
    future: Future[list[Outcome]]
    unloaded: deque[tuple[int, Any]]
    outcomes: list[Outcome | None]
    ready: deque[tuple[int, Prepared]] = field(default_factory=deque)
    missing: int = 0
    """Photos without an outcome."""

    @property
    def to_load(self) -> tuple[int, int]:
        return self.client.turns.load, self.turns.load

    @property
    def to_run(self) -> tuple[int, int]:
        return self.client.turns.run, self.turns.run


class Batcher:
    def __init__(
        self, network: Network, limits: Limits, on_batch: Callable[[int, float], None] = lambda photos, seconds: None
    ) -> None:
        """`on_batch(photos, seconds)` is called after each run of the network, in its thread."""
        self.network, self.limits, self.on_batch = network, limits, on_batch
        self._requests: list[_Request] = []
        self._clients: dict[str, _Client] = {}
        self._turns = 0
        self._changed = threading.Condition()
        self._waiting = 0
        self._first_ready: float | None = None
        self._per_photo = FIRST_GUESS
        self._stopping = False
        names = ["load"] * LOADERS + ["network"]
        works = [self._load] * LOADERS + [self._run]
        self._threads = [
            threading.Thread(target=work, name=f"showtell-{name}", daemon=True)
            for name, work in zip(names, works, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def alive(self) -> bool:
        """Whether all of its threads are; without, nothing would ever be done."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        """Photos admitted and not yet done."""
        return self._waiting

    def check_room(self, client: str = "") -> None:
        """Raises QueueFull or Stopping where `submit` would: before a body is read that would be for nothing."""
        if self._stopping:
            raise Stopping
        # No more than can be done in the time for stopping, should that be now: a slow model has less room.
        room = max(1, min(self.limits.queue, int(self.limits.stop_seconds / self._per_photo)))
        if client in self._clients:
            room -= room // KEPT
        if self._waiting >= room:
            # What is over the mark has to be done before there is room for one more.
            over = self._waiting - room + 1
            raise QueueFull(self._waiting, max(1, math.ceil(over * self._per_photo)))

    def submit(self, images: Sequence[Any], ask: Ask, client: str = "") -> Future[list[Outcome]]:
        """One outcome per image, in order. Cancelling the future takes its photos out of the queue.

        A request is admitted while there is room for one photo, so that large ones are not starved by small ones: up to
        `limits.queue + limits.images - 1` photos wait. The last quarter of the room is for clients that have nothing in
        the queue. Raises QueueFull and Stopping.
        """
        future: Future[list[Outcome]] = Future()
        if not images:
            future.set_result([])
            return future
        with self._changed:
            self.check_room(client)
            now = self._next_turn()
            owner = self._clients.setdefault(client, _Client(client, _Turns(now, now)))
            outcomes: list[Outcome | None] = [None] * len(images)
            request = _Request(owner, _Turns(now, now), ask, future, deque(enumerate(images)), outcomes)
            self._count(request, len(images))
            self._requests.append(request)
            self._changed.notify_all()
        future.add_done_callback(lambda done: self._drop(request) if done.cancelled() else None)
        return future

    def stop_admitting(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Admit nothing more and finish the rest; False if that took longer than `seconds`."""
        self.stop_admitting()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _next_turn(self) -> int:
        self._turns += 1
        return self._turns

    def _count(self, request: _Request, more: int) -> None:
        """So many photos more without an outcome, or fewer; a client that has none left is forgotten."""
        request.missing += more
        request.client.waiting += more
        self._waiting += more
        if not request.client.waiting:
            del self._clients[request.client.name]

    def _drop(self, request: _Request) -> None:
        with self._changed:
            if request.missing:
                self._count(request, -request.missing)
                request.unloaded.clear()
                request.ready.clear()
                with contextlib.suppress(ValueError):
                    self._requests.remove(request)
                self._changed.notify_all()

    def _load(self) -> None:
        while (taken := self._take_unloaded()) is not None:
            request, place, image = taken
            try:
                prepared = self.network.prepare(image, max_pixels=self.limits.pixels)
            except BadImage as error:
                self._finish([(request, place, error)])
            except Exception as error:  # noqa: BLE001  # ours or Pillow's mistake: the request fails, the server stays
                self._fail([request], error)
            else:
                with self._changed:
                    if request.missing:
                        request.ready.append((place, prepared))
                        self._first_ready = self._first_ready or time.monotonic()
                        self._changed.notify_all()
            del taken, image

    def _take_unloaded(self) -> tuple[_Request, int, Any] | None:
        """A photo of the request whose turn it is, or None when there will be none: the server stops."""
        with self._changed:
            while True:
                waiting = [each for each in self._requests if each.unloaded]
                if waiting:
                    request = min(waiting, key=lambda each: each.to_load)
                    request.turns.load = request.client.turns.load = self._next_turn()
                    place, image = request.unloaded.popleft()
                    return request, place, image
                if self._stopping and not self._waiting:
                    return None
                self._changed.wait()

    def _run(self) -> None:
        while batch := self._take_batch():
            photos = [prepared for _, _, prepared in batch]
            begin = time.monotonic()
            try:
                captions = self.network.caption_prepared(photos, batch[0][0].ask)
                done = [(request, place, each) for (request, place, _), each in zip(batch, captions, strict=True)]
                seconds = time.monotonic() - begin
                self.on_batch(len(batch), seconds)
            except Exception as error:  # noqa: BLE001  # the requests of this batch fail, and the next one is tried
                self._fail((request for request, _, _ in batch), error)
                continue
            self._per_photo += 0.2 * (seconds / len(batch) - self._per_photo)
            self._finish(done)

    def _take_batch(self) -> list[tuple[_Request, int, Prepared]]:
        """Photos that ask for the same, in turns; nothing when there will be none."""
        with self._changed:
            while True:
                ready = [each for each in self._requests if each.ready]
                if not ready:
                    self._first_ready = None
                    if self._stopping and not self._waiting:
                        return []
                    self._changed.wait()
                    continue
                first = min(ready, key=lambda each: each.to_run)
                alike = [each for each in ready if each.ask == first.ask]
                rest = self._time_to_wait(sum(len(each.ready) for each in alike))
                if rest > 0:
                    self._changed.wait(rest)
                    continue
                return self._in_turns(alike)

    def _time_to_wait(self, ready: int) -> float:
        """Seconds for which a batch of so many photos is held back in the hope of more."""
        if ready >= self.limits.batch or self._stopping or self._first_ready is None:
            return 0.0
        return self._first_ready + self.limits.wait - time.monotonic()

    def _in_turns(self, alike: list[_Request]) -> list[tuple[_Request, int, Prepared]]:
        batch: list[tuple[_Request, int, Prepared]] = []
        while alike and len(batch) < self.limits.batch:
            request = min(alike, key=lambda each: each.to_run)
            batch.append((request, *request.ready.popleft()))
            # Behind all others, those too who ask for something else.
            request.turns.run = request.client.turns.run = self._next_turn()
            if not request.ready:
                alike.remove(request)
        return batch

    def _finish(self, done: Iterable[tuple[_Request, int, Outcome]]) -> None:
        complete = []
        with self._changed:
            for request, place, outcome in done:
                if not request.missing:
                    continue  # its client left
                request.outcomes[place] = outcome
                self._count(request, -1)
                if not request.missing:
                    self._requests.remove(request)
                    complete.append(request)
            self._changed.notify_all()
        for request in complete:
            with contextlib.suppress(InvalidStateError):  # cancelled at this very moment
                request.future.set_result([each for each in request.outcomes if each is not None])

    def _fail(self, requests: Iterable[_Request], error: Exception) -> None:
        for request in {id(each): each for each in requests}.values():
            self._drop(request)
            with contextlib.suppress(InvalidStateError):
                request.future.set_exception(error)
