"""What the batcher knows of a client and of a request in its queue."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from showtell.core.captioner import GenerationOptions, PreprocessedImage
from showtell.errors import BadImage
from showtell.records import Caption

Outcome = tuple[Caption, ...] | BadImage
"""Of one image: captions, best first, or its error."""


@dataclass
class LastTurn:
    """Sequence numbers of the last turn, or of the arrival; the smallest is next."""

    load: int
    run: int


@dataclass(eq=False)
class Client:
    key: str
    last_turn: LastTurn
    unfinished: int = 0
    """Images without an outcome."""


@dataclass(eq=False)
class QueuedRequest:
    client: Client
    last_turn: LastTurn
    options: GenerationOptions
    future: Future[list[Outcome]]
    unloaded: deque[tuple[int, Any]]
    """Index in the request, and image."""
    outcomes: list[Outcome | None]
    ready: deque[tuple[int, PreprocessedImage]] = field(default_factory=deque)
    unfinished: int = 0
    """Images without an outcome."""

    @property
    def load_order(self) -> tuple[int, int]:
        return self.client.last_turn.load, self.last_turn.load

    @property
    def run_order(self) -> tuple[int, int]:
        return self.client.last_turn.run, self.last_turn.run
