"""What the server counts for Prometheus, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from showtell.serve.api_routes import API_METHODS

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Meters:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter("showtell_requests", "Answers", ["route", "status"], registry=self.registry)
        self._seconds = Histogram(
            "showtell_request_seconds", "From the head to the end", ["route"], buckets=SECONDS, registry=self.registry
        )
        self._refused = Counter("showtell_refused", "Requests turned away", ["code"], registry=self.registry)
        self._images = Counter("showtell_images", "Photos by what became of them", ["outcome"], registry=self.registry)
        self._batches = Histogram(
            "showtell_batch_photos", "Photos captioned together", buckets=BATCHES, registry=self.registry
        )
        self._network = Counter("showtell_network_seconds", "Spent in the network", registry=self.registry)
        self._waiting = Gauge("showtell_waiting_photos", "Photos admitted and not yet done", registry=self.registry)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        self._waiting.set_function(waiting)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """`status` 0: none, the client had left."""
        route = _route(path)
        self._requests.labels(route, str(status or "none")).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def captioned(self, outcome: str) -> None:
        """`ok`, or the code of what is wrong with the photo."""
        self._images.labels(outcome).inc()

    def batch(self, photos: int, seconds: float) -> None:
        self._batches.observe(photos)
        self._network.inc(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)


def _route(path: str) -> str:
    """A label of few values: whatever a client asks for, it adds no series."""
    return path if path in API_METHODS else "page"
