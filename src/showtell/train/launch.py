"""The processes of one machine that `train.devices` starts: each is this process's own command, run again.

None outlives the first one, and where another fails the run ends with that one's exit code. Rejected: Lightning's
launcher, which leaves the others running when the first one ends, and kills the first one when another fails, so that
the exit code is always that of SIGKILL; torchrun's, which ends with a traceback of its own and exit code 1, whatever
that of the process that failed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from showtell.errors import ShowtellError

FIRST: Final = "SHOWTELL_FIRST_PROCESS"
"""The environment variable with the first process's id, for those that it has started."""
POLL_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 10.0
"""How long a process has to find out for itself that another has ended."""
STOP_SECONDS: Final = 1.0
"""How long it has where a signal ended the other one: a terminal sends it to all, and this one may be about to end."""
_SIGNAL_NAMES: Final = {number.value: number.name for number in signal.Signals}
_STOPS: Final = ("SIGINT", "SIGTERM", "SIGHUP")


class ProcessEnded(ShowtellError):
    """Another process of the run has ended, or cannot be reached any more."""

    def __init__(self, why: str, advice: str = "its own message says why") -> None:
        super().__init__(f"another process of this run has ended ({why}); {advice}")

    @classmethod
    def with_code(cls, code: int) -> ProcessEnded:
        """It has the exit code of the process that ended."""
        name = _SIGNAL_NAMES.get(code - 128)
        how = f"exit code {code}" if name is None else f"killed by {name}"
        if name == "SIGKILL":
            error = cls(how, "the system's log may say why, such as lack of memory")
        elif name in _STOPS:
            error = cls(how, "the same command goes on")
        else:
            error = cls(how)
        error.exit_code = own_code(code)
        return error


def own_code(code: int) -> int:
    """The exit code of a process that ends because of another's, which on Windows may be more than a byte."""
    return code & 0xFF or 1


class Children:
    """What the first process has started."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self.processes = processes

    def failure(self, seconds: float = 0.0) -> int | None:
        """The exit code of the first that has failed, waiting so long for one; 128 + n for signal n."""
        end = time.monotonic() + seconds
        while True:
            codes = [code for code in (process.poll() for process in self.processes) if code]
            if codes:
                return codes[0] if codes[0] > 0 else 128 - codes[0]
            if time.monotonic() >= end:
                return None
            time.sleep(0.05)

    def end(self) -> None:
        for process in self.processes:
            process.kill()

    def watch(self) -> None:
        """End this process, too, when one has failed: it may be in work of its own, or wait for a GPU."""
        while not (code := self.failure()):
            time.sleep(POLL_SECONDS)
        if _SIGNAL_NAMES.get(code - 128) in _STOPS:  # whoever sent it knows why the run ends
            time.sleep(STOP_SECONDS)
        else:
            time.sleep(GRACE_SECONDS)
            with contextlib.suppress(OSError):
                os.write(2, f"showtell: {ProcessEnded.with_code(code)}\n".encode())
        self.end()
        os._exit(own_code(code))


def own_rank() -> int:
    """0 in the first process."""
    return int(os.environ["LOCAL_RANK"]) if FIRST in os.environ else 0


def start_others(count: int) -> Children | None:
    """Start all but the first of `count` processes, in the first one; they are killed when it ends. In the others:
    see to it that they end with the first one, even if it is killed."""
    if FIRST in os.environ:
        threading.Thread(target=_end_with, args=(int(os.environ[FIRST]),), name="showtell-parent", daemon=True).start()
        return None
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    others = {**os.environ, FIRST: str(os.getpid())}
    started: list[subprocess.Popen[bytes]] = []
    children = Children(started)
    atexit.register(children.end)
    for rank in range(1, count):
        started.append(subprocess.Popen(_own_command(), env={**others, "LOCAL_RANK": str(rank)}))
    threading.Thread(target=children.watch, name="showtell-children", daemon=True).start()
    return children


@contextlib.contextmanager
def first_failure(children: Children | None) -> Iterator[None]:
    """Within the block, ProcessEnded gets the exit code of the process that failed, where it is one of `children`. In a
    process that the first one has started, it is not raised while that one lives, which says it once."""
    try:
        yield
    except ProcessEnded as error:
        if FIRST in os.environ:
            time.sleep(2 * GRACE_SECONDS)
        if children is not None and (code := children.failure(GRACE_SECONDS)):
            raise ProcessEnded.with_code(code) from error
        raise


def _end_with(parent: int) -> None:
    # On Windows a process keeps the id of its parent, and Python's may be that of a launcher between the two.
    while sys.platform == "win32" or os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def _own_command() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name != "__main__":  # which is that of a folder and of an archive
        program = ["-m", spec.name]
    elif sys.argv[0] and Path(sys.argv[0]).exists():
        program = [str(Path(sys.argv[0]).absolute())]
    else:  # `python -c`, and launchers of Windows, which leave out their .exe
        program = ["-m", "showtell"]
    return [sys.executable, *program, *sys.argv[1:]]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
