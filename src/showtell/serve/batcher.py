"""Dynamic batching: images of all requests wait in one bounded queue and go through the model together.

    submit -> loader threads: bytes to pixels -> inference thread: images with equal options, in batches -> outcomes

Scheduling is round-robin over clients, and over the requests of each client, image by image: a request with one image
waits for one or two batches, whether it competes with a request of 32 or with a client of 40 requests. The order also
decides which options run next, so that no language or beam size waits behind a popular one.

Threads, not asyncio: ONNX Runtime and Pillow release the GIL, and a batch must not block the event loop, which tells
other clients that the queue is full.

Rejected: a queue of whole requests (a large one delays all behind it), and padding requests with different beam sizes
into one search (a caption must not depend on what else is in its batch).
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any, Protocol

from showtell.core.captioner import GenerationOptions, PreprocessedImage
from showtell.errors import BadImage
from showtell.loading import LOADER_THREADS
from showtell.records import Caption
from showtell.serve.fair_limiter import RESERVED_SHARE, reserved
from showtell.serve.limits import Limits
from showtell.serve.queue_errors import QueueFull, ShuttingDown, TooManyImages
from showtell.serve.queued_request import Client, LastTurn, Outcome, QueuedRequest
from showtell.serve.work_estimate import WorkEstimate


class Model(Protocol):
    """The methods of a Captioner that the batcher calls."""

    def preprocess(self, image: Any, max_pixels: int) -> PreprocessedImage: ...

    def caption_preprocessed(
        self, photos: Sequence[PreprocessedImage], options: GenerationOptions
    ) -> list[tuple[Caption, ...]]: ...


class Batcher:
    def __init__(
        self,
        model: Model,
        limits: Limits,
        on_batch: Callable[[int, float], None] = lambda images, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts the threads; `close` ends them.

        `on_batch(images, seconds)` is called after each batch, in the inference thread. `clock` gives monotonic
        seconds, by which batches are delayed and timed.
        """
        self.model, self.limits, self.on_batch, self._clock = model, limits, on_batch, clock
        self._requests: list[QueuedRequest] = []
        self._clients: dict[str, Client] = {}
        self._turns = 0
        self._changed = threading.Condition()
        self._waiting = 0
        self._first_ready_at: float | None = None
        self._running: list[tuple[QueuedRequest, int, PreprocessedImage]] = []
        self._work = WorkEstimate(clock, limits.batch_size, LOADER_THREADS)
        self._is_stopping = False
        self._threads = [
            *(self._thread(self._load_images, "showtell-load") for _ in range(LOADER_THREADS)),
            self._thread(self._run_batches, "showtell-inference"),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _thread(target: Callable[[], None], name: str) -> threading.Thread:
        return threading.Thread(target=target, name=name, daemon=True)

    @property
    def is_stopping(self) -> bool:
        return self._is_stopping

    @property
    def is_alive(self) -> bool:
        """Whether all threads are; otherwise requests would wait for ever."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        """Images admitted and not finished."""
        return self._waiting

    def check_capacity(self, client: str = "", images: int = 1, seconds: float = math.inf) -> None:
        """Raises what `submit` would; called before a body is read.

        `seconds`: what is left of the request's time.
        """
        with self._changed:
            if self._is_stopping:
                raise ShuttingDown
            if not self.is_alive:
                raise RuntimeError("a thread of the batcher has died")
            self._check_time(client, images, seconds)
            self._check_places(client)

    def _check_time(self, client: str, images: int, seconds: float) -> None:
        """Whether the images would be done in their time, by an estimate. Behind others, there must also be time for
        one image within a shutdown that begins now and half of that time."""
        seconds = max(0.0, min(seconds, self.limits.request_timeout))
        per_image, waiting = self._work.seconds_per_image, self._unfinished()
        if not waiting:
            seconds *= 1 - RESERVED_SHARE  # others will come, and take turns
            if images > 1 and images * per_image > seconds and self._work.is_recent:
                raise TooManyImages(images, max(1, int(seconds / per_image)), seconds)
            return
        budget = min(self.limits.shutdown_timeout, seconds / 2)
        if client in self._clients:
            budget *= 1 - RESERVED_SHARE
        if (waiting + images) * per_image > seconds or (waiting + 1) * per_image > budget:
            excess = max(waiting + images - int(seconds / per_image), waiting + 1 - int(budget / per_image))
            raise QueueFull("there is no time for more photos now", self._retry_after(excess))

    def _check_places(self, client: str) -> None:
        """There must be room for one image, so that small requests cannot starve large ones."""
        places = self.limits.queue_size
        if client in self._clients:
            places -= reserved(places)
        elif self._of_single_requests() < reserved(places):
            return  # however far a large request of another has gone beyond the limit
        if self._waiting >= places:
            why = f"{self._waiting} photos are waiting, which is the limit"
            raise QueueFull(why, self._retry_after(self._waiting - places + 1))

    def _retry_after(self, excess: int) -> int:
        """Seconds until so many of the waiting images are done."""
        waiting = self._unfinished()
        seconds = self._work.seconds_until_done(min(excess, waiting), waiting)
        return math.ceil(min(max(1.0, seconds), self.limits.request_timeout))

    def _unfinished(self) -> int:
        """Images that the model has still to do, those included whose client left while they were in it."""
        return self._waiting + sum(not request.unfinished for request, *_ in self._running)

    def _of_single_requests(self) -> int:
        """Waiting images of clients that have one request."""
        return sum(r.unfinished for r in self._requests if r.unfinished == r.client.unfinished)

    def submit(
        self, images: Sequence[Any], options: GenerationOptions, client: str = "", seconds: float = math.inf
    ) -> Future[list[Outcome]]:
        """One outcome per image, in order. Cancelling the future removes its images from the queue.

        `seconds`: what is left of the request's time, if that is less than `limits.request_timeout`. The last quarter
        of the queue, in places and in time, is reserved for clients that have nothing in it. Raises QueueFull,
        TooManyImages and ShuttingDown, and RuntimeError if a thread has died.
        """
        future: Future[list[Outcome]] = Future()
        if not images:
            future.set_result([])
            return future
        with self._changed:
            self.check_capacity(client, len(images), seconds)
            turn = self._next_turn()
            owner = self._clients.setdefault(client, Client(client, LastTurn(turn, turn)))
            outcomes: list[Outcome | None] = [None] * len(images)
            request = QueuedRequest(owner, LastTurn(turn, turn), options, future, deque(enumerate(images)), outcomes)
            self._add_unfinished(request, len(images))
            self._requests.append(request)
            self._changed.notify_all()
        future.add_done_callback(lambda done: self._drop(request) if done.cancelled() else None)
        return future

    def stop_admitting(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """Admits nothing more and finishes the rest; False if that takes longer than `timeout` seconds."""
        self.stop_admitting()
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _next_turn(self) -> int:
        self._turns += 1
        return self._turns

    def _add_unfinished(self, request: QueuedRequest, count: int) -> None:
        """Changes the number of images without an outcome; a client that has none left is forgotten."""
        request.unfinished += count
        request.client.unfinished += count
        self._waiting += count
        if not request.client.unfinished:
            del self._clients[request.client.key]

    def _drop(self, request: QueuedRequest) -> None:
        with self._changed:
            if request.unfinished:
                self._add_unfinished(request, -request.unfinished)
                request.unloaded.clear()
                request.ready.clear()
                with contextlib.suppress(ValueError):
                    self._requests.remove(request)
                self._changed.notify_all()

    def _load_images(self) -> None:
        while (job := self._next_to_load()) is not None:
            request, index, image = job
            started_at = self._clock()
            try:
                prepared = self.model.preprocess(image, max_pixels=self.limits.image_pixels)
            except BadImage as error:
                self._finish([(request, index, error)])
            except Exception as error:  # noqa: BLE001  # a bug here or in Pillow: the request fails, the server stays
                self._fail([request], error)
            else:
                with self._changed:
                    self._work.image_loaded(self._clock() - started_at)
                    if request.unfinished:
                        request.ready.append((index, prepared))
                        if self._first_ready_at is None:
                            self._first_ready_at = self._clock()
                        self._changed.notify_all()
            del job, image

    def _next_to_load(self) -> tuple[QueuedRequest, int, Any] | None:
        """An image of the request whose turn it is; None when the batcher is closed and empty."""
        with self._changed:
            while True:
                candidates = [request for request in self._requests if request.unloaded]
                if candidates:
                    request = min(candidates, key=lambda request: request.load_order)
                    request.last_turn.load = request.client.last_turn.load = self._next_turn()
                    index, image = request.unloaded.popleft()
                    return request, index, image
                if self._is_stopping and not self._waiting:
                    return None
                self._changed.wait()

    def _run_batches(self) -> None:
        while batch := self._next_batch():
            images = [prepared for _, _, prepared in batch]
            try:
                captions = self.model.caption_preprocessed(images, batch[0][0].options)
                done = [(request, index, best) for (request, index, _), best in zip(batch, captions, strict=True)]
                with self._changed:
                    self._running, seconds = [], self._work.end_batch()
                self.on_batch(len(batch), seconds)
            except Exception as error:  # noqa: BLE001  # the requests of this batch fail, and the next one is tried
                with self._changed:
                    self._running = []
                    self._work.fail_batch()
                self._fail((request for request, _, _ in batch), error)
                continue
            self._finish(done)

    def _next_batch(self) -> list[tuple[QueuedRequest, int, PreprocessedImage]]:
        """Images with equal options, round-robin; none when the batcher is closed and empty."""
        with self._changed:
            while True:
                ready = [request for request in self._requests if request.ready]
                if not ready:
                    self._first_ready_at = None
                    if self._is_stopping and not self._waiting:
                        return []
                    self._changed.wait()
                    continue
                first = min(ready, key=lambda request: request.run_order)
                compatible = [request for request in ready if request.options == first.options]
                delay = self._delay(sum(len(request.ready) for request in compatible))
                if delay > 0:
                    self._changed.wait(delay)
                    continue
                self._running = self._take_round_robin(compatible)
                self._work.begin_batch(len(self._running))
                return self._running

    def _delay(self, ready: int) -> float:
        """Seconds for which a batch of `ready` images still waits for more."""
        if ready >= self.limits.batch_size or self._is_stopping or self._first_ready_at is None:
            return 0.0
        return self._first_ready_at + self.limits.batch_delay - self._clock()

    def _take_round_robin(self, requests: list[QueuedRequest]) -> list[tuple[QueuedRequest, int, PreprocessedImage]]:
        batch: list[tuple[QueuedRequest, int, PreprocessedImage]] = []
        while requests and len(batch) < self.limits.batch_size:
            request = min(requests, key=lambda request: request.run_order)
            batch.append((request, *request.ready.popleft()))
            # Behind all others, also those with other options.
            request.last_turn.run = request.client.last_turn.run = self._next_turn()
            if not request.ready:
                requests.remove(request)
        return batch

    def _finish(self, done: Iterable[tuple[QueuedRequest, int, Outcome]]) -> None:
        complete = []
        with self._changed:
            for request, index, outcome in done:
                if not request.unfinished:
                    continue  # cancelled or failed
                request.outcomes[index] = outcome
                self._add_unfinished(request, -1)
                if not request.unfinished:
                    self._requests.remove(request)
                    complete.append(request)
            self._changed.notify_all()
        for request in complete:
            with contextlib.suppress(InvalidStateError):  # cancelled at this very moment
                request.future.set_result([outcome for outcome in request.outcomes if outcome is not None])

    def _fail(self, requests: Iterable[QueuedRequest], error: Exception) -> None:
        for request in {id(request): request for request in requests}.values():
            self._drop(request)
            with contextlib.suppress(InvalidStateError):
                request.future.set_exception(error)
