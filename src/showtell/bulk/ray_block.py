"""Blocks of inputs on their way to workers, and of their outcomes, kept in the order of the inputs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ray import cloudpickle

from showtell.bulk.container_file import InMemory
from showtell.bulk.ray_worker import Outcome
from showtell.core.sources import ImageInput
from showtell.errors import BadImage
from showtell.records import CaptionRow

BLOCK_BYTES: Final = 16 * 1024 * 1024
"""A block of inputs that travel as bytes ends with the one that reaches this."""


@dataclass(eq=False)
class Block:
    images: list[ImageInput] = field(default_factory=list)
    travelling: list[ImageInput] = field(default_factory=list)
    """The same as they are sent."""
    outcomes: list[Outcome | None] = field(default_factory=list)
    size: int = 0
    """Bytes of what is sent."""

    @property
    def is_done(self) -> bool:
        return None not in self.outcomes

    def add(self, image: ImageInput) -> None:
        """An input with an error is done already. The error is not sent: nor are others of its kind ever."""
        sent, size = image, 0
        try:
            if image.error is not None:
                raise image.error
            if image.read is not None:
                sent, size = _as_sent(image)
            self.outcomes.append(None)
        except BadImage as error:
            self.outcomes.append(Outcome((), error.code, error.detail))
        self.images.append(image)
        self.travelling.append(sent)
        self.size += size

    def task(self) -> Task | None:
        """All that is to be done; None where nothing is."""
        places = [place for place, outcome in enumerate(self.outcomes) if outcome is None]
        return Task(self, places) if places else None

    def rows(self) -> Iterator[CaptionRow]:
        """When it is done."""
        for image, outcome in zip(self.images, self.outcomes, strict=True):
            assert outcome is not None
            yield CaptionRow(image, *outcome)


@dataclass(eq=False)
class Task:
    """Some inputs of a block."""

    block: Block
    places: Sequence[int]
    deaths: int = 0
    """Of processes that worked on it, perhaps for another reason."""
    is_suspect: bool = False
    """It was in a process that died."""

    def images(self) -> list[ImageInput]:
        return [self.block.travelling[place] for place in self.places]

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        for place, outcome in zip(self.places, outcomes, strict=True):
            self.block.outcomes[place] = _seen_from_here(self.block.images[place], outcome)

    def after_death(self, of_block: int, of_input: int) -> list[Task]:
        """What is to be done again; `of_block`, `of_input`: how often at most."""
        self.deaths, self.is_suspect = self.deaths + 1, True
        if self.deaths < (of_block if len(self.places) > 1 else of_input):
            return [self]
        if len(self.places) > 1:
            # Rejected: halves. Each halving ends processes again, which load the model again.
            return [Task(self.block, [place], is_suspect=True) for place in self.places]
        detail = (
            f"found that {of_input} worker processes ended while they captioned it; caption it alone without Ray to "
            "see why, or leave it out"
        )
        self.finish([Outcome((), "crashed", detail)])
        return []


def read_block(images: Iterator[ImageInput], size: int) -> tuple[Block, Exception | None, bool]:
    """The next block, what the source raised after it, and whether there may be more."""
    block = Block()
    try:
        while len(block.images) < size and block.size < BLOCK_BYTES:
            block.add(next(images))
    except StopIteration:
        return block, None, False
    except Exception as error:  # noqa: BLE001 (raised when the rows before it are out)
        return block, error, False
    return block, None, True


def _as_sent(image: ImageInput) -> tuple[ImageInput, int]:
    """Raises BadImage where only this process can read it, and that fails."""
    try:
        pickled: bytes = cloudpickle.dumps(image.read)  # type: ignore[no-untyped-call]
        return image, len(pickled)
    except Exception:  # noqa: BLE001 (each library has its own for what cannot be pickled)
        assert image.read is not None
        data = image.read()
        return replace(image, read=InMemory(data)), len(data)


def _seen_from_here(image: ImageInput, outcome: Outcome) -> Outcome:
    """With what to do, for a file that is on this machine but not on the worker's."""
    file: Any = getattr(image.read, "file", None) if image.read is not None else image.file or image.path
    is_gone = outcome.error == "missing" or os.strerror(errno.ENOENT) in (outcome.detail or "")
    if not is_gone or not isinstance(file, str | Path) or not _exists(file):
        return outcome
    detail = (
        f"found no {file} on the worker's machine ({outcome.detail}), but here; expected a folder that all machines "
        "share under one name, or object storage"
    )
    return Outcome((), outcome.error, detail)


def _exists(file: str | Path) -> bool:
    try:
        return os.path.exists(file)  # noqa: PTH110 (a name may be any text)
    except ValueError:
        return False
