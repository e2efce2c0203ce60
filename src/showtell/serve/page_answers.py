"""A question of the page becomes an answer, both JSON.

    {id, photo | example, picture, language, beam, num} -> {id, captions, picture, ...} | {id, error: {code, text}}

The photo is in the question (base64), or is one of the examples by name: nothing is written to disk, and no name that
a client sends is ever opened. A question is what a stranger sends, so everything in it is checked here.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from showtell.core.captioner import Ask
from showtell.core.image import load_image
from showtell.errors import BadConfig, BadImage
from showtell.records import Caption
from showtell.serve.batcher import QueueFull, Stopping
from showtell.serve.clients import Room
from showtell.serve.service import Service

log = logging.getLogger(__name__)

PICTURE_SIDE: Final = 1024
"""Pixels of the longer side of the picture that the page shows."""
_PICTURES: Final = 1
"""Photos that are decoded for showing at a time: each may take 150 MB."""
_ENVELOPE: Final = 4096
"""Bytes of a question besides its photo."""
_PLAIN: Final = {
    "missing": "This photo is not there.",
    "unreadable": "This file cannot be read.",
    "empty": "This file is empty.",
    "truncated": "This image is damaged or cut off.",
    "not_an_image": "This file is not an image.",
    "too_large": "This photo is too large.",
    "too_small": "This photo is too small.",
    "unsupported": "Images of this kind are not read here.",
    "queue_full": "Many photos are waiting. Try again in {} s.",
    "stopping": "The server is stopping. Try again later.",
    "deadline": "This took too long and was given up. Try again, or with a narrower beam.",
    "internal": "Something went wrong on the server. Try again, or another photo.",
}


def examples() -> list[Path]:
    """The photos that the page offers; `examples/README.md` says whose they are."""
    return sorted((Path(__file__).parent / "examples").glob("*.jpg"))


def largest_photo(body_bytes: int) -> int:
    """Bytes of the largest photo that fits into a request of so many: base64 makes four of three."""
    return max(0, body_bytes - _ENVELOPE) // 4 * 3


def picture_url(photo: bytes | Path, side: int, **limits: int) -> str:
    """The photo upright and no larger than `side`, as a JPEG in a `data:` address. Raises BadImage."""
    image = load_image(photo, hint_size=(side + 1) // 2, **limits)
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


class PageAnswers:
    """What stands behind the page's one event."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._examples = {path.name: path for path in examples()}
        self._largest = largest_photo(service.limits.body_bytes)
        self._store = Room(service.limits.page_bytes, little=service.limits.body_bytes)
        self._running: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._drawing = asyncio.Semaphore(_PICTURES)

    async def answer(self, question: object, session: str, client: str = "") -> dict[str, Any]:
        """Never raises but CancelledError. A question takes the place of an earlier one of the same page."""
        number = question.get("id") if isinstance(question, Mapping) else None
        identity = {"id": number if isinstance(number, int) and abs(number) < 2**53 else None}
        if earlier := self._running.get(session):
            earlier.cancel()
        work = asyncio.create_task(self._answer(question, client))
        self._running[session] = work
        try:
            await asyncio.wait({work}, timeout=self._service.limits.deadline)
        finally:
            if not work.done():
                work.cancel()
            if self._running.get(session) is work:
                del self._running[session]
        if not work.done():
            return {**identity, "error": _error("deadline")}
        if work.cancelled():
            return {**identity, "error": {"code": "replaced", "text": ""}}
        return {**identity, **work.result()}

    async def _answer(self, question: object, client: str) -> dict[str, Any]:
        try:
            return await self._captions(question, client)
        except BadImage as error:
            text = _PLAIN.get(error.code, "This photo cannot be used.")
            return {"error": {"code": error.code, "text": text, "detail": error.detail}}
        except BadConfig as error:
            return {"error": {"code": "bad_request", "text": f"{error}."}}
        except QueueFull as error:
            return {"error": _error("queue_full", error.retry_after)}
        except Stopping:
            return {"error": _error("stopping")}
        except Exception:
            log.exception("a question of the page failed")
            return {"error": _error("internal")}

    async def _captions(self, question: object, client: str) -> dict[str, Any]:
        if not isinstance(question, dict):
            raise BadConfig("found no question; expected an object with a photo")
        ask = self._ask(question)
        # Out of the question: Gradio keeps that until its answer has been sent.
        encoded, wants_picture = question.pop("photo", None), question.get("picture") is True
        size = len(encoded) if isinstance(encoded, str) else 0
        if not self._store.take(client, size):
            return {"error": _error("queue_full", 1)}
        try:
            photo = self._photo(encoded, question.get("example"))
            del encoded
            [outcome] = await self._service.caption([photo], ask, client)
            if isinstance(outcome, BadImage):
                raise outcome
            picture = await self._picture(photo) if wants_picture else None
        finally:
            self._store.give_back(client, size)
        return {"language": ask.language, "picture": picture, "captions": [_caption(each) for each in outcome]}

    def _ask(self, question: Mapping[str, Any]) -> Ask:
        language, beam, num = (question.get(key) for key in ("language", "beam", "num"))
        if language is not None and not isinstance(language, str):
            raise BadConfig("found a language that is no text; expected one like en")
        for name, value in (("beam", beam), ("num", num)):
            if type(value) is not int:  # True is an int, too
                raise BadConfig(f"found {name} that is no whole number; expected 1 to {self._service.limits.beam}")
        return self._service.ask(language, beam, num or 1, attention=True)

    def _photo(self, encoded: object, example: object) -> bytes | Path:
        if isinstance(example, str) and example in self._examples:
            return self._examples[example]
        if not isinstance(encoded, str):
            raise BadConfig("found no photo; expected the bytes of one in base64, or the name of an example")
        if len(encoded) // 4 * 3 > self._largest + 3:
            raise BadImage("too_large", f"found more than {self._largest / 2**20:.3g} MiB, which is the limit")
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadConfig("found a photo that is not base64; expected the bytes of the file in base64") from error

    async def _picture(self, photo: bytes | Path) -> str:
        async with self._drawing:
            return await asyncio.to_thread(picture_url, photo, PICTURE_SIDE, max_pixels=self._service.limits.pixels)


def _caption(caption: Caption) -> dict[str, Any]:
    maps: Sequence[Any] = [None] * len(caption.words)
    if caption.attention is not None:
        maps = caption.attention.astype(float).round(5).tolist()
    return {
        "text": caption.text,
        "score": round(caption.score, 4),
        "confidence": round(caption.confidence, 4),
        "words": [
            {"text": word.text, "log_probability": round(word.log_probability, 4), "attention": weights}
            for word, weights in zip(caption.words, maps, strict=True)
        ],
    }


def _error(code: str, *values: object) -> dict[str, str]:
    return {"code": code, "text": _PLAIN[code].format(*values)}
