"""How OpenAPI describes a request for captions: FastAPI cannot know, since the body is read by hand (see `intake`)."""

from __future__ import annotations

from typing import Any

from showtell.serve.schema import CaptionRequest, Refused
from showtell.serve.service import Service

REASONS = {
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
    """All that an address answers besides success: what the gate may say, and `statuses`."""
    all_of_them = sorted({401, 403, 404, 405, 408, 413, 421, 500, 503, 504, *statuses})
    described: dict[int | str, dict[str, Any]] = {
        status: {"model": Refused, "description": REASONS[status]} for status in all_of_them
    }
    described[503]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return described


def caption_body(service: Service, urls_allowed: bool) -> dict[str, Any]:
    """`requestBody`, with this server's limits and its model's languages."""
    schema = CaptionRequest.model_json_schema()
    kinds = schema.pop("$defs")
    properties = _with_limits(schema["properties"], service)
    kind = "anyOf" if urls_allowed else None
    image = {kind: list(kinds.values())} if kind else kinds["Base64Image"]
    properties["images"] |= {"items": image, "maxItems": service.limits.images}
    file = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
    files = {**properties["images"], "items": file, "description": "image files"}
    # A form has no null: what is not said is left out.
    fields = {name: _without_null(each) for name, each in properties.items()}
    form = {**schema, "title": "CaptionForm", "properties": {**fields, "images": files}}
    example = {"images": [{"base64": kinds["Base64Image"]["properties"]["base64"]["examples"][0]}], "num": 2}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": schema, "example": example},
            "multipart/form-data": {"schema": form},
        },
    }


def _with_limits(properties: dict[str, Any], service: Service) -> dict[str, Any]:
    known = {
        "language": {"enum": list(service.captioner.languages)},
        "beam": {"maximum": service.limits.beam},
        "num": {"maximum": service.limits.beam},
        "max_length": {
            "minimum": max(1, service.captioner.settings().min_length),
            "maximum": service.longest,
        },
    }
    for name, limits in known.items():
        place = next((each for each in properties[name].get("anyOf", []) if each["type"] != "null"), properties[name])
        place |= limits
    return properties


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    real = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **real[0]} if real else schema
