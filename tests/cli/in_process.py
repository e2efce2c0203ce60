"""`showtell ARGUMENTS` in this process: what a process prints and exits with, without the time that one takes to start.

`test_caption.py::test_a_photo` compares it with a process. A graph is loaded once for all commands, and again when its
file has changed: loading takes twice as long as a caption.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from showtell.cli.main import main
from showtell.core.runtimes import onnx_runtime

LOAD = onnx_runtime._session


@lru_cache(maxsize=8)
def _loaded(path: Path, versions: object, threads: int, device: onnx_runtime.Device) -> Any:
    return LOAD(path, threads, device)


def session(path: Path, threads: int, device: onnx_runtime.Device) -> Any:
    """As `onnx_runtime._session`. A graph's weights may lie in another file of its folder."""
    stats = [file.stat() for file in sorted(path.parent.glob("*"))]
    return _loaded(path, tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in stats), threads, device)


def showtell(
    *arguments: object, stdin: str | bytes = "", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """An exception that `main` does not turn into a message is raised."""
    command = ["showtell", *map(str, arguments)]
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    stdout, stderr = io.BytesIO(), io.BytesIO()
    streams = {
        "stdin": io.TextIOWrapper(io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin), encoding="utf-8"),
        "stdout": io.TextIOWrapper(stdout, encoding=encoding, write_through=True),
        "stderr": io.TextIOWrapper(stderr, encoding=encoding, errors="backslashreplace", write_through=True),
    }
    status: object = 0
    folder = Path.cwd()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.multiple(sys, argv=command, **streams))
        stack.enter_context(mock.patch.object(onnx_runtime, "_session", session))
        stack.enter_context(mock.patch.dict(os.environ, environment))
        stack.callback(os.chdir, folder)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU):  # `main` is the end of a process
            stack.callback(signal.signal, number, signal.getsignal(number))
        os.chdir(cwd or folder)
        try:
            main()
        except SystemExit as error:
            status = error.code
    return subprocess.CompletedProcess(
        command,
        status if isinstance(status, int) else 0,
        stdout.getvalue().decode("utf-8"),
        stderr.getvalue().decode("utf-8"),
    )
