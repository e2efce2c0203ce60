"""Requests for captions, from the two forms in which they come, to images and options."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError
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


class Url(str):
    """An image that is still to be fetched."""


class Intake(NamedTuple):
    images: list[bytes | Url | Callable[[], bytes]]
    options: Options


async def read_request(request: Request, limits: Limits, urls_allowed: bool) -> Intake:
    """Raises RefusedError: 400, 403, 415 or 422."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        intake = await _form(request, limits)
    elif kind == "application/json":
        intake = _json(await request.body())
    else:
        expected = "expected multipart/form-data with files named `images`, or application/json"
        raise RefusedError(Refusal(415, "unsupported_media_type", f"found {kind[:60] or 'no type'}; {expected}"))
    if len(intake.images) > limits.images:
        found = f"found {len(intake.images)} images; expected at most {limits.images} in a request"
        raise RefusedError(Refusal(422, "too_many_images", found))
    if not urls_allowed and any(isinstance(each, Url) for each in intake.images):
        raise RefusedError(Refusal(403, "urls_not_allowed", "this server fetches no URLs; send the image itself"))
    return intake


async def _form(request: Request, limits: Limits) -> Intake:
    try:
        # One more than is allowed, so that too many are told from a form that cannot be read.
        form = await request.form(max_files=limits.images + 1, max_fields=MOST_FIELDS, max_part_size=FIELD_BYTES)
    except HTTPException as error:
        raise RefusedError(Refusal(400, "bad_request", f"the form cannot be read: {error.detail}")) from error
    images: list[bytes | Url | Callable[[], bytes]] = []
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
        raise _invalid(_problems(error)) from error


def _json(body: bytes) -> Intake:
    try:
        # Strict: in JSON a number is a number; in a form everything is text.
        asked = CaptionRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        if error.errors(include_input=False, include_context=False)[0]["type"] == "json_invalid":
            raise RefusedError(Refusal(400, "bad_request", "the body is no valid JSON")) from error
        raise _invalid(_problems(error)) from error
    return Intake([_image(each) for each in asked.images], asked)


def _image(image: Base64Image | UrlImage) -> Url | Callable[[], bytes]:
    return Url(image.url) if isinstance(image, UrlImage) else partial(_decoded, image.base64)


def _decoded(text: str) -> bytes:
    """Called where the image is loaded, in another thread. Raises BadImage."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadImage("not_an_image", "found text that is not base64; expected the bytes of an image file") from error


def _problems(error: ValidationError) -> str:
    """All that is wrong, without what was sent: that may be megabytes."""
    found: list[str] = []
    for each in error.errors(include_input=False, include_url=False, include_context=False)[:MOST_PROBLEMS]:
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


def _short(name: Any) -> str:
    return repr(str(name)[:40])


def _invalid(message: str) -> RefusedError:
    return RefusedError(Refusal(422, "invalid", message))
