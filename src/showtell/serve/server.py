"""All parts put together, and the process that listens.

socket -> connection (uvicorn) -> gate -> app -> batcher -> captioner
                                    `---> page ---^
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
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from PIL import Image

from showtell.core.captioner import Captioner
from showtell.errors import BadConfig
from showtell.fetch.fetch import Fetcher
from showtell.serve.api_routes import API_METHODS
from showtell.serve.app import make_app
from showtell.serve.batcher import Batcher
from showtell.serve.connection import timed_protocol
from showtell.serve.gate import Gate, Rules, host_names
from showtell.serve.limits import Limits
from showtell.serve.meters import Meters
from showtell.serve.service import Service
from showtell.serve.urls import Urls

TELLING = 0.5
"""Seconds for captions that are done to reach their page."""
FAREWELL = 2.0
"""Seconds for the batcher's threads, after uvicorn has waited for all requests."""


@dataclass(frozen=True)
class Access:
    """Who may use the server, and what for."""

    host: str = "127.0.0.1"
    """The address that it listens at."""
    port: int = 7860
    """0: any that is free."""
    key: str | None = None
    names: tuple[str, ...] = ()
    """Host names that it goes by; see `gate.host_names`."""
    origins: tuple[str, ...] = ()
    """Sites whose scripts may use the API."""
    frames: tuple[str, ...] = ()
    """Sites that may show the page in a frame."""
    url_hosts: Sequence[str] | None = None
    """From which images are fetched by URL; none of them: any public one. None: no URLs."""
    page: bool = True


class Site:
    """The gate with all that lies behind it."""

    def __init__(self, captioner: Captioner, limits: Limits, access: Access) -> None:
        """Starts the batcher's threads; `close` ends them. Raises BadConfig for hosts that are no names."""
        self.limits, self.access, meters = limits, access, Meters()
        fetcher = None
        if access.url_hosts is not None:
            hosts = access.url_hosts or None
            fetcher = Fetcher(hosts=hosts, max_bytes=limits.body_bytes, seconds=limits.url_seconds)
        self.batcher = Batcher(captioner, limits, meters.batch)
        self.service = Service(captioner, self.batcher, limits, meters.captioned)
        meters.watch_queue(lambda: self.batcher.waiting)
        app = make_app(self.service, meters, fetcher, needs_key=access.key is not None)
        self._urls: Urls | None = app.state.urls
        if access.page:
            from showtell.serve.page import mount_page
            from showtell.serve.page_routes import is_page_stream, page_methods

            mount_page(app, self.service)
        rules = Rules(
            methods=lambda path: API_METHODS.get(path) or (page_methods(path) if access.page else ()),
            is_stream=lambda path: access.page and is_page_stream(path),
            key=access.key,
            hosts=host_names(access.host, access.names),
            origins=access.origins,
            frames=access.frames,
        )
        self.gate = Gate(app, limits, rules, meters)

    async def stop(self) -> None:
        """Take nothing new, and wait until what was admitted is done and told."""
        self.batcher.stop_admitting()
        if self._urls is not None:
            self._urls.stop()
        self.gate.end_uploads()
        while self.batcher.waiting:
            await asyncio.sleep(0.05)
        await asyncio.sleep(TELLING)

    def close(self, seconds: float) -> bool:
        """False if admitted photos were not done in `seconds`."""
        return self.batcher.close(seconds)


class Server(uvicorn.Server):
    """uvicorn's, which on SIGTERM or Ctrl-C finishes what was admitted, and is then done, not dead."""

    def __init__(self, site: Site) -> None:
        self.site = site
        super().__init__(
            uvicorn.Config(
                site.gate,
                http=timed_protocol(site.limits),
                loop="asyncio",  # and not uvloop where that is installed: it cannot be told how much to read at once
                ws="none",
                lifespan="on" if site.access.page else "off",
                access_log=False,  # who asked for which photo is nobody's business
                log_config=None,
                server_header=False,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """It still listens while it finishes: a balancer shall read 503 at /readyz, and others when to come again."""
        end = time.monotonic() + self.site.limits.stop_seconds
        stopping = asyncio.create_task(self.site.stop())
        while not stopping.done() and not self.force_exit and time.monotonic() < end:
            await asyncio.wait([stopping], timeout=0.1)
        if stopping.done():
            self.site.gate.end_streams()
        else:
            stopping.cancel()
            self.site.gate.end_all()
        self.config.timeout_graceful_shutdown = max(1, int(end - time.monotonic()))
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again afterwards, so that a server that stopped as it should looks killed.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(captioner: Captioner, limits: Limits, access: Access) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises BadConfig when the address cannot be had."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="showtell: %(levelname)s: %(message)s")
    for name in ("uvicorn", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)  # to them each broken request is a warning: a way to fill disks
    listener = _listen(access.host, access.port)
    site = Site(captioner, limits, access)
    captioner.caption(Image.new("RGB", (64, 64)))  # the first one takes longer, and shall not be a client's
    _greet(site, listener.getsockname()[1])
    Server(site).run(sockets=[listener])
    if not site.close(FAREWELL):
        print("showtell: stopped with photos left over", file=sys.stderr)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        # To its own text Python adds the address again; what is wrong with a name has a number of another kind.
        is_name = isinstance(error, socket.gaierror) or not error.errno
        why = error.strerror if is_name else os.strerror(error.errno or 0)
        other = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise BadConfig(f"{host}:{port} cannot be listened at ({why}); give another {other}") from error


def _greet(site: Site, port: int) -> None:
    access = site.access
    host = f"[{access.host}]" if ":" in access.host else access.host
    what = "page and API" if access.page else "API"
    print(f"showtell: {what} of {site.service.model} at http://{host}:{port} (Ctrl-C stops)", file=sys.stderr)
    if access.key is None and not host_names(access.host, ()):
        warning = "whoever reaches this address can use it; SHOWTELL_API_KEY or --api-key-file asks for a key"
        print(f"showtell: {warning}", file=sys.stderr)
