"""The body of POST /v1/caption, a form or JSON, parsed into images and options."""

from __future__ import annotations

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
from showtell.serve.base64_image import decode_base64
from showtell.serve.error_response import ErrorResponse, RequestRejected
from showtell.serve.limits import Limits
from showtell.serve.schema import Base64Image, CaptionRequest, Options, UrlImage

MAX_FIELD_BYTES = 64 * 1024
"""Of a form's field that is no file."""
MAX_FIELDS = 16
ABSENT_TEXTS = ("", "null")
"""What a form has in place of null: an empty field of HTML, or what JavaScript's FormData makes of null."""
MAX_PROBLEMS = 5
MAX_COMMAS = 4096
"""In JSON; base64 has none. Validating a body of nothing but small values would take minutes."""
MAX_PARSERS = 4
"""JSON bodies that are parsed at a time, each in a thread: it takes up to some 100 MB."""

_parser_limiter = anyio.CapacityLimiter(MAX_PARSERS)


class Url(str):
    """An image that is still to be fetched."""


Image = bytes | Url | Callable[[], bytes]
"""The last of them raises the BadImage that it is."""


class ParsedRequest(NamedTuple):
    images: list[Image]
    options: Options


async def parse_caption_request(request: Request, limits: Limits, urls_allowed: bool) -> ParsedRequest:
    """Raises RequestRejected: 400, 403, 415 or 422."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        parsed = await _parse_form(request, limits)
    elif media_type == "application/json":
        # Not `request.body()`, which would keep the bytes beside the images that are made of them.
        body = b"".join([piece async for piece in request.stream()])
        parsed = await anyio.to_thread.run_sync(parse_json, body, limiter=_parser_limiter)
    else:
        expected = "expected multipart/form-data with files named `images`, or application/json"
        raise RequestRejected(
            ErrorResponse(415, "unsupported_media_type", f"found {media_type[:60] or 'no type'}; {expected}")
        )
    if len(parsed.images) > limits.images:
        raise RequestRejected(_too_many(str(len(parsed.images)), limits))
    if not urls_allowed and any(isinstance(image, Url) for image in parsed.images):
        raise RequestRejected(
            ErrorResponse(403, "urls_not_allowed", "this server fetches no URLs; send the image itself")
        )
    return parsed


async def _parse_form(request: Request, limits: Limits) -> ParsedRequest:
    charset = parse_options_header(request.headers["content-type"])[1].get(b"charset", b"utf-8")
    if charset.lower() not in (b"utf-8", b"utf8"):  # else any of Python's codecs, at the client's choice
        raise RequestRejected(ErrorResponse(400, "bad_request", "the form's charset is not utf-8"))
    try:
        form = await request.form(max_files=limits.images, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except (HTTPException, UnicodeError) as error:
        detail = error.detail if isinstance(error, HTTPException) else "its text is not utf-8"
        if detail.startswith("Too many files"):
            raise RequestRejected(_too_many(f"more than {limits.images}", limits)) from error
        raise RequestRejected(ErrorResponse(400, "bad_request", f"the form cannot be read: {detail}")) from error
    images: list[Image] = []
    options: dict[str, str] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) and name == "images":
                images.append(await value.read())
            elif isinstance(value, UploadFile):
                raise _invalid(f"found a file named {_abbreviate(name)}; expected files named 'images'")
            elif name == "images":
                raise _invalid("images: found text; expected a file, with its filename")
            elif name in options:
                raise _invalid(f"{_abbreviate(name)}: found twice; expected once")
            else:
                options[name] = value
    finally:
        await form.close()
    if not images:
        raise _invalid("found no file; expected one or more, named 'images'")
    try:
        given = {name: value for name, value in options.items() if value not in ABSENT_TEXTS}
        return ParsedRequest(images, Options.model_validate(given))
    except ValidationError as error:
        raise _invalid(
            _describe(error.errors(include_input=False, include_url=False, include_context=False))
        ) from error


def parse_json(body: bytes) -> ParsedRequest:
    if body.count(b",") > MAX_COMMAS:
        raise RequestRejected(ErrorResponse(400, "bad_request", f"the body has more than {MAX_COMMAS} commas"))
    try:
        # Strict: in JSON a number is a number; in a form everything is text.
        request = CaptionRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        if problems[0]["type"] == "json_invalid":
            raise RequestRejected(ErrorResponse(400, "bad_request", "the body is no valid JSON")) from error
        raise _invalid(_describe(problems)) from error
    # Not `request` itself: it would keep megabytes of text until the captions are there.
    return ParsedRequest(
        [_decode_image(image) for image in request.images], Options(**request.model_dump(exclude={"images"}))
    )


def _decode_image(image: Base64Image | UrlImage) -> Image:
    if isinstance(image, UrlImage):
        return Url(image.url)
    try:
        return decode_base64(image.base64)
    except BadImage as error:
        return raiser(error)


def raiser(error: BadImage) -> Callable[[], bytes]:
    def fail() -> bytes:
        raise error

    return fail


def _describe(problems: Sequence[Any]) -> str:
    """What is wrong, without what was sent: that may be megabytes."""
    messages: list[str] = []
    for problem in problems[:MAX_PROBLEMS]:
        # A union of models puts the model's tag into the place.
        place = [part for part in problem["loc"] if part not in ("Base64Image", "UrlImage")]
        where = ".".join(_abbreviate(str(part)).strip("'") for part in place)
        if problem["type"] == "extra_forbidden" and len(place) == 1:
            text = f"{where} is no option{nearest(str(place[0]), CaptionRequest.model_fields)}"
        elif problem["type"] == "none_required":
            text = f"{where}: found beside the other; expected either base64 or url"
        else:
            text = f"{where}: {problem['msg']}"
        if text not in messages:
            messages.append(text)
    return "; ".join(messages)


def _too_many(count: str, limits: Limits) -> ErrorResponse:
    return ErrorResponse(422, "too_many_images", f"found {count} images; expected at most {limits.images} in a request")


def _abbreviate(name: Any) -> str:
    return repr(str(name)[:40])


def _invalid(message: str) -> RequestRejected:
    return RequestRejected(ErrorResponse(422, "invalid", message))
