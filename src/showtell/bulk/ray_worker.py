"""What runs in a worker process on Ray: the engine, loaded once, and blocks of inputs.

An input travels as its name and what reads it (a byte range of a tar, a URL, or bytes where only the driver has them),
an outcome without its input, which the driver still has. A bad record is an outcome, whatever it does: one that makes
the engine raise is found by captioning the inputs of the block one by one.

This file does not import Ray: the class is an ordinary one, and tests call it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from showtell import __version__
from showtell.bulk.ray_model import ShippedModel
from showtell.core.captioner import Captioner
from showtell.core.sources import ImageInput
from showtell.errors import BadImage, ShowtellError
from showtell.records import Caption, CaptionRow

Engine = Callable[[Iterator[ImageInput]], Iterator[CaptionRow]]


class Outcome(NamedTuple):
    """A row without its input."""

    captions: tuple[Caption, ...] = ()
    error: str | None = None
    detail: str | None = None


class WorkerFailure(NamedTuple):
    """What ends the whole run, such as a damaged model. Not an exception, which Ray would wrap in a traceback."""

    message: str


class Worker:
    """One process: an actor."""

    def __init__(self, load: Callable[[], Engine], folder: str, version: str) -> None:
        """`folder`: the driver's current one, to which relative names refer. `version`: the driver's showtell."""
        self._load, self._folder, self._version = load, folder, version

    def start(self) -> str | WorkerFailure:
        """Load the engine. Returns the machine's name. Not in `__init__`, whose failure is the death of the actor."""
        host = socket.gethostname()
        if self._version != __version__:
            return WorkerFailure(
                f"found showtell {__version__} on {host}, and {self._version} on the driver's machine; install the "
                "same version on all machines"
            )
        with contextlib.suppress(OSError):  # without this folder, absolute names still mean the same
            os.chdir(self._folder)
        try:
            self._engine = self._load()
        except ShowtellError as error:
            return WorkerFailure(f"{error} (on {host})")
        return host

    def caption(self, images: Sequence[ImageInput]) -> list[Outcome] | WorkerFailure:
        """The outcomes of the inputs, in order."""
        try:
            return [Outcome(row.captions, row.error, row.detail) for row in self._engine(iter(images))]
        except ShowtellError as error:
            return WorkerFailure(str(error))
        except Exception as error:  # noqa: BLE001 (whatever a record makes the engine raise)
            if len(images) == 1:
                return [_failed(error)]
        outcomes: list[Outcome] = []
        for image in images:
            found = self.caption([image])
            if isinstance(found, WorkerFailure):
                return found
            outcomes += found
        return outcomes


def _failed(error: Exception) -> Outcome:
    reason = " ".join(str(error).split())[:200]
    name = type(error).__name__
    return Outcome(
        (), "crashed", f"captioning it raised {name}{reason and f' ({reason})'}; leave it out, and report it"
    )


@dataclass(frozen=True)
class CaptionerLoader:
    """Makes the engine of a worker: a captioner."""

    models: Sequence[ShippedModel]
    threads: int
    max_pixels: int
    runtime: str
    options: Mapping[str, Any]
    """Of `Captioner.caption_many`."""

    def __call__(self) -> Engine:
        """Raises BadBundle."""
        folders = [model.folder_here() for model in self.models]
        captioner = Captioner.load(folders, self.threads, self.max_pixels, self.runtime)
        # A machine on which the network cannot run is found before it has an input, which would be blamed for it.
        with contextlib.suppress(BadImage):  # of more pixels than max_pixels
            captioner.caption(np.zeros((64, 64, 3), np.uint8))

        def engine(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
            return captioner.caption_many(images, **self.options)

        return engine
