"""Requests for captions, from the two forms in which they come, to images and options."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from showtell.config import nearest
from showtell.errors import BadImage
from showtell.serve.limits import Limits
from showtell.serve.refusal import Refusal, RefusedError
from showtell.serve.schema import Base64Image, CaptionRequest, Options, UrlImage

FIELD_BYTES = 64 * 1024
"""Of a form's field that is no file."""
MOST_FIELDS = 16
MOST_PROBLEMS = 5
MOST_COMMAS = 4096
"""In JSON; base64 has none. A body of nothing but small values would take minutes to be told what is wrong."""
READ_TOGETHER = 4
"""Bodies that are made images at a time, each in a thread: it takes up to some 100 MB."""

_room = anyio.CapacityLimiter(READ_TOGETHER)


class Url(str):
    """An image that is still to be fetched."""


Image = bytes | Url | Callable[[], bytes]
"""The last of them raises the BadImage that it is."""


class Intake(NamedTuple):
    images: list[Image]
    options: Options


async def read_request(request: Request, limits: Limits, urls_allowed: bool) -> Intake:
    """Raises RefusedError: 400, 403, 415 or 422."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        intake = await _form(request, limits)
    elif kind == "application/json":
        # Not `request.body()`, which would keep the bytes beside the images that are made of them.
        body = b"".join([piece async for piece in request.stream()])
        intake = await anyio.to_thread.run_sync(_json, body, limiter=_room)
    else:
        expected = "expected multipart/form-data with files named `images`, or application/json"
        raise RefusedError(Refusal(415, "unsupported_media_type", f"found {kind[:60] or 'no type'}; {expected}"))
    if len(intake.images) > limits.images:
        raise RefusedError(_too_many(str(len(intake.images)), limits))
    if not urls_allowed and any(isinstance(each, Url) for each in intake.images):
        raise RefusedError(Refusal(403, "urls_not_allowed", "this server fetches no URLs; send the image itself"))
    return intake


async def _form(request: Request, limits: Limits) -> Intake:
    charset = parse_options_header(request.headers["content-type"])[1].get(b"charset", b"utf-8")
    if charset.lower() not in (b"utf-8", b"utf8"):  # else any of Python's codecs, at the client's choice
        raise RefusedError(Refusal(400, "bad_request", "the form's charset is not utf-8"))
    try:
        form = await request.form(max_files=limits.images, max_fields=MOST_FIELDS, max_part_size=FIELD_BYTES)
    except (HTTPException, UnicodeError) as error:
        detail = error.detail if isinstance(error, HTTPException) else "its text is not utf-8"
        if detail.startswith("Too many files"):
            raise RefusedError(_too_many(f"more than {limits.images}", limits)) from error
        raise RefusedError(Refusal(400, "bad_request", f"the form cannot be read: {detail}")) from error
    images: list[Image] = []
    options: dict[str, str] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) and name == "images":
                images.append(await value.read())
            elif isinstance(value, UploadFile):
                raise _invalid(f"found a file named {_short(name)}; expected files named 'images'")
            elif name == "images":
                raise _invalid("images: found text; expected a file, with its filename")
            elif name in options:
                raise _invalid(f"{_short(name)}: found twice; expected once")
            else:
                options[name] = value
    finally:
        await form.close()
    if not images:
        raise _invalid("found no file; expected one or more, named 'images'")
    try:
        return Intake(images, Options.model_validate(options))
    except ValidationError as error:
        raise _invalid(_told(error.errors(include_input=False, include_url=False, include_context=False))) from error


def _json(body: bytes) -> Intake:
    if body.count(b",") > MOST_COMMAS:
        raise RefusedError(Refusal(400, "bad_request", f"the body has more than {MOST_COMMAS} commas"))
    try:
        # Strict: in JSON a number is a number; in a form everything is text.
        asked = CaptionRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        if problems[0]["type"] == "json_invalid":
            raise RefusedError(Refusal(400, "bad_request", "the body is no valid JSON")) from error
        raise _invalid(_told(problems)) from error
    # Not `asked` itself: it would keep megabytes of text until the captions are there.
    return Intake([_image(each) for each in asked.images], Options(**asked.model_dump(exclude={"images"})))


def _image(image: Base64Image | UrlImage) -> Image:
    return Url(image.url) if isinstance(image, UrlImage) else _decoded(image.base64)


def _decoded(text: str) -> Image:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return raiser(BadImage("not_an_image", "found text that is not base64; expected the bytes of an image file"))


def raiser(error: BadImage) -> Callable[[], bytes]:
    def fail() -> bytes:
        raise error

    return fail


def _told(problems: Sequence[Any]) -> str:
    """What is wrong, without what was sent: that may be megabytes."""
    found: list[str] = []
    for each in problems[:MOST_PROBLEMS]:
        # A union of models puts the model's name into the place.
        place = [part for part in each["loc"] if part not in ("Base64Image", "UrlImage")]
        where = ".".join(_short(str(part)).strip("'") for part in place)
        if each["type"] == "extra_forbidden" and len(place) == 1:
            text = f"{where} is no option{nearest(str(place[0]), CaptionRequest.model_fields)}"
        else:
            text = f"{where}: {each['msg']}"
        if text not in found:
            found.append(text)
    return "; ".join(found)


def _too_many(found: str, limits: Limits) -> Refusal:
    return Refusal(422, "too_many_images", f"found {found} images; expected at most {limits.images} in a request")


def _short(name: Any) -> str:
    return repr(str(name)[:40])


def _invalid(message: str) -> RefusedError:
    return RefusedError(Refusal(422, "invalid", message))
