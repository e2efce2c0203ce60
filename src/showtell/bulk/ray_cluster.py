"""The connection to Ray: a cluster, or processes on this machine that end with the command.

Ray is kept quiet: what workers print, its progress, its dashboard and its statistics are not the user's. What it says
when it cannot go on becomes one line.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from showtell.errors import BadConfig, MissingExtra, ShowtellError

OBJECT_STORE_BYTES: Final = 512 * 1024 * 1024
"""On this machine, for inputs that travel as bytes. Ray's default is a third of the memory."""
CONNECT_SECONDS: Final = 10.0
MAX_STARTS: Final = 4
"""Ray gives up after 30 seconds, in which a busy machine does not load it. The next time its files are in memory."""
_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's 15 would have workers wait for everything else on the machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it announces that this will become its default
}


@dataclass(frozen=True)
class Cluster:
    is_local: bool
    cpus: tuple[int, ...]
    """Of each machine."""

    def workers(self, threads: int) -> int:
        """How many of so many threads find room; 1 where none does, since machines may come."""
        return max(1, sum(cpus // threads for cpus in self.cpus))


@contextlib.contextmanager
def connected(address: str | None, cpus: int | None = None) -> Iterator[Cluster]:
    """`address`: HOST:PORT of a cluster that this machine belongs to; None: of `cpus` cores here (None: all).

    Raises BadConfig where no cluster answers, MissingExtra.
    """
    if address is not None:
        _check_answers(address)
    ray = _ray()
    with _silent(ray):
        try:
            with _signal_handlers_kept():
                _init(ray, address, cpus)
            alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            yield Cluster(address is None, tuple(int(resources.get("CPU", 0)) for resources in alive))
        finally:
            with _signal_handlers_kept():
                ray.shutdown()


def _init(ray: Any, address: str | None, cpus: int | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        options |= {"include_dashboard": False, "num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES}
    for attempt in range(1, MAX_STARTS + 1):
        try:
            ray.init(address=address or "local", **options)
            return
        except Exception as error:  # Ray has no type of its own for this
            if "timed out during startup" not in str(error) or attempt == MAX_STARTS:
                raise _refused(address, error) from error
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Ray itself tries for minutes. Raises BadConfig."""
    host, _, port = address.rpartition(":")
    if "://" in address or (address != "auto" and not (host and port.isdecimal())):
        # Rejected: Ray's client (ray://), which ends all it has started when its connection breaks for half a minute.
        raise BadConfig(
            f"--ray-address {address}: expected HOST:PORT or auto, on a machine that belongs to the cluster"
        )
    if address != "auto":
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise _refused(address, error) from error


def _ray() -> Any:
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtra("ray", "ray") from error
    return ray


def _refused(address: str | None, error: Exception) -> ShowtellError:
    reason = " ".join(str(error).split())[:300]
    if address is None:
        return ShowtellError(f"--engine ray: Ray does not start on this machine ({reason}); see its logs in /tmp/ray")
    return BadConfig(
        f"--ray-address {address}: no cluster that this machine belongs to ({reason}); start one with `ray start "
        f"--head`, or join it with `ray start --address {address}`"
    )


@contextlib.contextmanager
def _silent(ray: Any) -> Iterator[None]:
    """Ray announces every death of a worker on stdout, where captions go, whatever `log_to_driver` says."""
    module = ray._private.worker
    before = module.print_to_stdstream
    module.print_to_stdstream = lambda *arguments, **options: None
    try:
        yield
    finally:
        module.print_to_stdstream = before


@contextlib.contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """`ray.init` replaces the handler of SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
