"""The server's metrics for Prometheus, in a registry of their own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from showtell.serve.api_routes import API_METHODS

LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds."""
BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ServerMetrics:
    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "showtell_http_requests", "Requests by route and status", ["route", "status"], registry=registry
        )
        self._latency = Histogram(
            "showtell_http_request_duration_seconds",
            "From a request's head to the end of its answer",
            ["route"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._rejected = Counter("showtell_rejected_requests", "Requests not admitted", ["code"], registry=registry)
        self._images = Counter("showtell_images", "Images by outcome", ["outcome"], registry=registry)
        self._batch_size = Histogram(
            "showtell_batch_size", "Images captioned together", buckets=BATCH_SIZE_BUCKETS, registry=registry
        )
        self._inference = Counter("showtell_inference_seconds", "Time spent in the network", registry=registry)
        self._queued = Gauge("showtell_queued_images", "Images admitted and not yet done", registry=registry)

    def watch_queue(self, queued: Callable[[], int]) -> None:
        self._queued.set_function(queued)

    def observe_request(self, path: str, status: int, seconds: float) -> None:
        """`status` 0: there was no answer, the client had left."""
        route = _route(path)
        self._requests.labels(route, str(status or "none")).inc()
        self._latency.labels(route).observe(seconds)

    def count_rejection(self, code: str) -> None:
        self._rejected.labels(code).inc()

    def count_image(self, outcome: str) -> None:
        """`ok`, or the code of what is wrong with the image."""
        self._images.labels(outcome).inc()

    def observe_batch(self, size: int, seconds: float) -> None:
        self._batch_size.observe(size)
        self._inference.inc(seconds)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)


def _route(path: str) -> str:
    """A label with few values: whatever a client asks for, it adds no series."""
    return path if path in API_METHODS else "page"
