"""Checks options against the model and the limits, and captions images through the batcher; for API and page."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from showtell.core.bundle import MANIFEST
from showtell.core.captioner import Captioner, GenerationOptions
from showtell.errors import BadConfig, BadImage
from showtell.serve.batcher import Batcher
from showtell.serve.limits import Limits
from showtell.serve.queued_request import Outcome


class Service:
    def __init__(
        self,
        captioner: Captioner,
        batcher: Batcher,
        limits: Limits,
        on_outcome: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """`on_outcome` is called for each image, with `ok` or its error code."""
        self.captioner, self.batcher, self.limits, self.on_outcome = captioner, batcher, limits, on_outcome
        self.model = model_id(captioner)

    def generation_options(
        self,
        language: str | None = None,
        beam: int | None = None,
        num: int = 1,
        max_length: int | None = None,
        attention: bool = False,
        prompt: str | None = None,
    ) -> GenerationOptions:
        """The options of a request, validated. None: the model's default; the beam size is raised to `num`.

        Raises BadConfig with the allowed range.
        """
        for name, value, maximum in (
            ("beam", beam, self.limits.beam_size),
            ("num", num, self.limits.beam_size),
            ("max_length", max_length, self.max_length),
        ):
            if value is not None and not 1 <= value <= maximum:
                raise BadConfig(f"{name}: found {value}; expected 1 to {maximum}")
        default_beam = self.captioner.settings().beam_size
        settings = self.captioner.settings(beam_size=max(num, beam or default_beam), max_length=max_length)
        return self.captioner.generation_options(language, num, attention, settings, prompt)

    @property
    def max_length(self) -> int:
        """The largest `max_length`, in words."""
        return min(self.limits.caption_length, self.captioner.max_length or self.limits.caption_length)

    async def caption(self, images: Sequence[Any], options: GenerationOptions, client: str = "") -> list[Outcome]:
        """One outcome per image, in order. Cancelling the task removes its images from the queue.

        Raises QueueFull, TooManyImages and ShuttingDown.
        """
        seconds = anyio.current_effective_deadline() - anyio.current_time()  # negative where it is cancelled already
        outcomes = await asyncio.wrap_future(self.batcher.submit(images, options, client, seconds))
        for outcome in outcomes:
            self.on_outcome(outcome.code if isinstance(outcome, BadImage) else "ok")
        return outcomes


def model_id(captioner: Captioner) -> str:
    """The name of the bundle with a hash of the manifests, which contain the hashes of all files."""
    digest = hashlib.sha256()
    for bundle in captioner.bundles:
        digest.update((bundle.path / MANIFEST).read_bytes())
    return f"{captioner.bundle.path.name}-{digest.hexdigest()[:12]}"
