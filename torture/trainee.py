"""`showtell train` in a forked process that may be killed at any moment.

It tells through a pipe how far it is, a line each: `step N` after a step, `saving N` and `saved N` around a save of the
state. Forked, since the imports take longer than the run.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning_fabric  # noqa: F401 (this and the next ones: before the fork)
import torch
from tests.failing_disk import FailingDisk

import showtell.export.bundle
import showtell.metrics.reward
import showtell.train.setup
import showtell.view.curves
from showtell import files
from showtell.cli import main
from showtell.cli.app import app  # noqa: F401 (before the fork)
from showtell.train.loop import Trainer

SETTINGS = (
    *("data=shapes:48", "model.encoder.pixels.size=32", "model.encoder.timm_kwargs={output_stride: 16}"),
    *("model.decoder.width=16", "model.decoder.dropout=0.1", "train.trainable_encoder_stages=0"),
    *("train.epochs=4", "train.batch_size=16", "train.views=1", "train.warmup_ratio=0", "train.ema_decay=0.9"),
    *("train.average_checkpoints=2", "train.checkpoint_minutes=1e-9", "train.monitor=loss"),
    *("decode.beam_size=1", "decode.max_length=6"),
)
"""Three steps an epoch; the state is saved after every one."""
STEPS = 12
HANG_SECONDS = 600.0
NEVER = 1 << 30


class End(NamedTuple):
    """How a process ended, and what it told before."""

    code: int
    """The exit code; that of a signal is negative."""
    hung: bool
    lines: list[tuple[float, str, int]]
    """Seconds since it began, what it told, and the number."""
    errors: str = ""
    """What it wrote to stderr."""
    cpu: float = 0.0
    """Seconds of the processor."""

    def last(self, what: str) -> int:
        return max((number for _, name, number in self.lines if name == what), default=0)


def run(folder: Path, kill_at: Callable[[End], float | None], disk: FailingDisk | None = None) -> End:
    """Train in `folder` until the end, or until it is killed: `kill_at` gets what has been told so far, and says at
    what time (in seconds since the beginning), or None while it is not known."""
    told, tell = os.pipe()
    errors = folder.with_suffix(".stderr")
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _child(folder, tell, errors, disk or FailingDisk(NEVER, "before", lambda: None))
    os.close(tell)
    end = End(0, False, [])
    rest = b""
    limit = HANG_SECONDS
    while True:
        now = time.monotonic() - begun
        due = kill_at(end)
        if now >= (limit if due is None else due):
            end = end._replace(hung=due is None)
            os.kill(pid, signal.SIGKILL)
            kill_at = _never
            limit = now + HANG_SECONDS
        wait = (limit if due is None or kill_at is _never else due) - now
        if not select.select([told], [], [], max(0.0, wait))[0]:
            continue
        data = os.read(told, 65536)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        now = time.monotonic() - begun
        end.lines.extend((now, line.split()[0].decode(), int(line.split()[1])) for line in lines)
    os.close(told)
    _, status, usage = os.wait4(pid, 0)
    said = errors.read_text(encoding="utf-8", errors="replace") if errors.exists() else ""
    return end._replace(code=os.waitstatus_to_exitcode(status), errors=said, cpu=usage.ru_utime + usage.ru_stime)


def _never(end: End) -> None:
    return None


def operations_file(folder: Path) -> Path:
    """Where a process that was not killed writes which operations it did."""
    return folder.with_suffix(".operations")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _child(folder: Path, tell: int, errors: Path, disk: FailingDisk) -> None:
    """Never returns."""
    code = 70
    try:
        output = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(output, 1)
        os.dup2(output, 2)
        torch.set_num_threads(1)
        _report(lambda what, number: os.write(tell, f"{what} {number}\n".encode()))
        files.disk = disk
        # Its picture takes longer than the run.
        showtell.view.curves.draw_curves = lambda log, picture: None
        sys.argv = ["showtell", "train", "shapes", *SETTINGS, "--run", str(folder)]
        try:
            main.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 70
        operations_file(folder).write_text(json.dumps(disk.done))
    finally:
        os._exit(code)


def _report(tell: Callable[[str, int], object]) -> None:
    """Let every Trainer of this process tell how far it is."""
    step, save = Trainer.step, Trainer.save

    def told_step(self: Trainer, group: Any) -> float:
        entropy = step(self, group)
        tell("step", self.progress.step)
        return entropy

    def told_save(self: Trainer) -> None:
        tell("saving", self.progress.step)
        save(self)
        tell("saved", self.progress.step)

    Trainer.step, Trainer.save = told_step, told_save  # type: ignore[method-assign]
