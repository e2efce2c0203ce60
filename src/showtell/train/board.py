"""The event file of a run for TensorBoard.

Rejected: torch's SummaryWriter. Its thread prints a traceback when the disk is full, and what it has not written yet is
lost when the process is killed.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from showtell.errors import OUTPUT_ERRNOS, OutputError


class Board:
    """A file of its own in `folder`, which is made. TensorBoard joins the files of all sessions of a run.

    Each call raises OutputError when the disk is full or fails.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # The form of the name is TensorBoard's.
        self.path = folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._file = self.path.open("ab", buffering=0)
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        summary = Summary(value=[Summary.Value(tag=name, simple_value=float(value))])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Event) -> None:
        try:
            self._records.write(event.SerializeToString())
        except OSError as error:
            if error.errno in OUTPUT_ERRNOS:
                raise OutputError.of(self.path, error) from error
            raise
