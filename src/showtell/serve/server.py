"""The whole server: the application put together, and the process that listens.

socket -> connection (uvicorn) -> admission -> app (API and page) -> batcher -> captioner
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from PIL import Image

from showtell.core.captioner import Captioner
from showtell.errors import BadConfig
from showtell.fetch.fetch import Fetcher
from showtell.serve.admission import AccessPolicy, AdmissionMiddleware, host_names
from showtell.serve.api_routes import API_METHODS
from showtell.serve.app import create_app
from showtell.serve.batcher import Batcher
from showtell.serve.connection import limited_protocol
from showtell.serve.limits import Limits
from showtell.serve.open_connections import OpenConnections
from showtell.serve.page import PAGE_METHODS, add_page
from showtell.serve.server_metrics import ServerMetrics
from showtell.serve.service import Service
from showtell.serve.url_fetcher import UrlFetcher
from showtell.terminal import echo

KEEP_ALIVE = 75
"""Seconds of a connection without a request. Longer than clients keep one, 60 for proxies and 5 for some libraries: one
that the server closes first may have another request on its way, which gets no answer."""
JOIN_TIMEOUT = 2.0
"""Seconds for the batcher's threads to end, after uvicorn has waited for all requests."""


@dataclass(frozen=True)
class ServerConfig:
    """Where the server listens, and who may use it."""

    host: str = "127.0.0.1"
    """Address to bind."""
    port: int = 7860
    """0: any free port."""
    api_key: str | None = None
    host_names: tuple[str, ...] = ()
    """Accepted in the Host header; see `admission.host_names`."""
    cors_origins: tuple[str, ...] = ()
    """Other origins whose scripts may use the API."""
    frame_ancestors: tuple[str, ...] = ()
    """Other origins that may embed the page in a frame."""
    allowed_url_hosts: Sequence[str] | None = None
    """From which images are fetched by URL; empty: any public host. None: URLs are refused."""
    page: bool = True


class Application:
    """The ASGI application with the batcher and the model behind it."""

    def __init__(self, captioner: Captioner, limits: Limits, config: ServerConfig) -> None:
        """Starts the batcher's threads; `close` ends them. Raises BadConfig for malformed host names."""
        self.limits, self.config, metrics = limits, config, ServerMetrics()
        fetcher = None
        if config.allowed_url_hosts is not None:
            allowed_hosts = config.allowed_url_hosts or None
            fetcher = Fetcher(allowed_hosts=allowed_hosts, max_bytes=limits.body_bytes, timeout=limits.url_timeout)
        self.batcher = Batcher(captioner, limits, metrics.observe_batch)
        self.service = Service(captioner, self.batcher, limits, metrics.count_image)
        metrics.watch_queue(lambda: self.batcher.waiting)
        app = create_app(self.service, metrics, fetcher, needs_key=config.api_key is not None)
        self._url_fetcher: UrlFetcher | None = app.state.url_fetcher
        if config.page:
            add_page(app, self.service)
        methods = {**API_METHODS, **(PAGE_METHODS if config.page else {})}
        policy = AccessPolicy(
            allowed_methods=lambda path: methods.get(path, ()),
            api_key=config.api_key,
            allowed_hosts=host_names(config.host, config.host_names),
            allowed_origins=config.cors_origins,
            frame_ancestors=config.frame_ancestors,
        )
        self.connections = OpenConnections(limits)
        self.admission = AdmissionMiddleware(app, limits, policy, metrics, self.connections.is_crowded)

    def warm_up(self) -> None:
        """The first run of a network is slower; the second tells the batcher how long a photo takes."""
        photo = Image.new("RGB", (64, 64))
        self.service.captioner.caption(photo)
        self.batcher.submit([photo], self.service.generation_options()).result()

    async def drain(self) -> None:
        """Admits nothing new, and waits until admitted images are captioned."""
        self.batcher.stop_admitting()
        if self._url_fetcher is not None:
            self._url_fetcher.stop()
        self.admission.drain()
        while self.batcher.waiting:
            await asyncio.sleep(0.05)

    def close(self, timeout: float) -> bool:
        """False if admitted images were not finished within `timeout` seconds."""
        return self.batcher.close(timeout)


class Server(uvicorn.Server):
    """uvicorn's server with a graceful shutdown on SIGTERM and Ctrl-C, and then exit code 0."""

    def __init__(self, application: Application) -> None:
        self.application = application
        super().__init__(
            uvicorn.Config(
                application.admission,
                http=limited_protocol(application.limits, application.connections),
                timeout_keep_alive=KEEP_ALIVE,
                loop="asyncio",  # and not uvloop where it is installed: its transports have no `max_size`
                ws="none",
                lifespan="off",
                access_log=False,  # privacy: who captions which photo is not recorded
                log_config=None,
                server_header=False,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Still listens while it drains: load balancers read 503 at /readyz, and clients get a Retry-After."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.application.limits.shutdown_timeout
        draining = asyncio.create_task(self.application.drain())
        while not draining.done() and not self.force_exit and loop.time() < end:
            await asyncio.wait([draining], timeout=0.1)
        if not draining.done():
            draining.cancel()
            self.application.admission.end_all()
        self.config.timeout_graceful_shutdown = max(1, int(end - loop.time()))
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again afterwards, so that a graceful shutdown ends as if killed.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def serve(captioner: Captioner, limits: Limits, config: ServerConfig) -> None:
    """Serves until SIGTERM or Ctrl-C. Raises BadConfig when the address cannot be bound."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="showtell: %(levelname)s: %(message)s")
    for name in ("uvicorn", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of every malformed request, which could fill a disk
    listener = _bind(config.host, config.port)
    application = Application(captioner, limits, config)
    application.warm_up()
    _print_startup_message(application, listener.getsockname()[1])
    Server(application).run(sockets=[listener])
    if not application.close(JOIN_TIMEOUT):
        echo("showtell: stopped with photos left over", err=True)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        # Python adds the address to its own text; errors of name resolution have no errno.
        is_resolution_error = isinstance(error, socket.gaierror) or not error.errno
        reason = error.strerror if is_resolution_error else os.strerror(error.errno or 0)
        option = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise BadConfig(f"{host}:{port} cannot be listened at ({reason}); give another {option}") from error


def _print_startup_message(application: Application, port: int) -> None:
    config = application.config
    host = f"[{config.host}]" if ":" in config.host else config.host
    parts = "page and API" if config.page else "API"
    echo(f"showtell: {parts} of {application.service.model} at http://{host}:{port} (Ctrl-C stops)", err=True)
    if config.api_key is None and not host_names(config.host, ()):
        warning = "whoever reaches this address can use it; SHOWTELL_API_KEY or --api-key-file asks for a key"
        echo(f"showtell: {warning}", err=True)
