"""The OpenAPI description of POST /v1/caption, whose body `request_parsing` reads, so that FastAPI cannot know it."""

from __future__ import annotations

from typing import Any

from showtell.serve.schema import CaptionRequest, ErrorBody
from showtell.serve.service import Service

STATUS_DESCRIPTIONS = {
    400: "The body cannot be read.",
    401: "The API key is missing or wrong.",
    403: "Another site's page, or a URL where none are fetched.",
    404: "There is nothing at this address.",
    405: "Not with this method.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "Neither a form with files nor JSON.",
    421: "Not by this name.",
    422: "An option is wrong; the message says which.",
    500: "A mistake of the server.",
    503: "Too much to do, or stopping; `Retry-After` says when to come back.",
    504: "No answer in time.",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """All error answers of an address: those of the admission middleware, and `statuses`."""
    every_status = sorted({401, 403, 404, 405, 408, 413, 421, 500, 503, 504, *statuses})
    described: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody, "description": STATUS_DESCRIPTIONS[status]} for status in every_status
    }
    described[503]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return described


def caption_body(service: Service, urls_allowed: bool) -> dict[str, Any]:
    """`requestBody`, with this server's limits and its model's languages."""
    schema = CaptionRequest.model_json_schema()
    definitions = schema.pop("$defs")
    if not service.captioner.takes_prompt:
        del schema["properties"]["prompt"]
    properties = _with_limits(schema["properties"], service)
    image = {"anyOf": list(definitions.values())} if urls_allowed else definitions["Base64Image"]
    properties["images"] |= {"items": image, "maxItems": service.limits.images}
    file = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
    files = {**properties["images"], "items": file, "description": "image files"}
    # A form has no null: an option that is not given is left out, or its field is empty.
    fields = {name: _without_null(field) for name, field in properties.items()}
    form = {**schema, "title": "CaptionForm", "properties": {**fields, "images": files}}
    example = {"images": [{"base64": definitions["Base64Image"]["properties"]["base64"]["examples"][0]}], "num": 2}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": schema, "example": example},
            "multipart/form-data": {"schema": form},
        },
    }


def _with_limits(properties: dict[str, Any], service: Service) -> dict[str, Any]:
    bounds = {
        "language": {"enum": list(service.captioner.languages)},
        "beam": {"maximum": service.limits.beam_size},
        "num": {"maximum": service.limits.beam_size},
        "max_length": {
            "minimum": max(1, service.captioner.settings().min_length),
            "maximum": service.max_length,
        },
    }
    for name, bound in bounds.items():
        options = properties[name].get("anyOf", [])
        target = next((option for option in options if option["type"] != "null"), properties[name])
        target |= bound
    return properties


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    types = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    rest = {name: value for name, value in schema.items() if name != "anyOf" and value is not None}
    return {**rest, **types[0]} if types else schema
