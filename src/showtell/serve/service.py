"""The model behind the server: what may be asked of it, and the way to its captions. The API and the page share it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from showtell.core.bundle import MANIFEST
from showtell.core.captioner import Ask, Captioner
from showtell.errors import BadConfig, BadImage
from showtell.serve.batcher import Batcher, Outcome
from showtell.serve.limits import Limits


class Service:
    def __init__(
        self,
        captioner: Captioner,
        batcher: Batcher,
        limits: Limits,
        on_outcome: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """`on_outcome` is called for each photo, with `ok` or the code of what is wrong with it."""
        self.captioner, self.batcher, self.limits, self.on_outcome = captioner, batcher, limits, on_outcome
        self.model = model_id(captioner)

    def ask(
        self,
        language: str | None = None,
        beam: int | None = None,
        num: int = 1,
        max_length: int | None = None,
        attention: bool = False,
    ) -> Ask:
        """What a request asks for, checked; None: as the model is used to. Raises BadConfig, saying what is possible.

        The beam is at least as wide as the captions are many.
        """
        for name, value, most in (
            ("beam", beam, self.limits.beam),
            ("num", num, self.limits.beam),
            ("max_length", max_length, self.longest),
        ):
            if value is not None and not 1 <= value <= most:
                raise BadConfig(f"{name}: found {value}; expected 1 to {most}")
        usual = self.captioner.settings().beam
        settings = self.captioner.settings(beam=max(num, beam or usual), max_length=max_length)
        return self.captioner.ask(language, num, attention, settings)

    @property
    def longest(self) -> int:
        """Words that a caption may be asked to have at most."""
        return min(self.limits.length, self.captioner.longest or self.limits.length)

    async def caption(self, images: Sequence[Any], ask: Ask, client: str = "") -> list[Outcome]:
        """One outcome per image. A task that is cancelled takes its photos out of the queue.

        Raises QueueFull and Stopping.
        """
        outcomes = await asyncio.wrap_future(self.batcher.submit(images, ask, client))
        for each in outcomes:
            self.on_outcome(each.code if isinstance(each, BadImage) else "ok")
        return outcomes


def model_id(captioner: Captioner) -> str:
    """A name that changes with the model: the manifests have the hashes of all that it consists of."""
    digest = hashlib.sha256()
    for bundle in captioner.bundles:
        digest.update((bundle.path / MANIFEST).read_bytes())
    return f"{captioner.bundle.path.name}-{digest.hexdigest()[:12]}"
