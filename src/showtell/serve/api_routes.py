"""What is at which address of the API, and by which methods; `page_routes` says it of the page."""

from __future__ import annotations

from typing import Final

API_METHODS: Final = {
    "/v1/caption": ("POST",),
    "/v1/models": ("GET",),
    "/healthz": ("GET", "HEAD"),
    "/readyz": ("GET", "HEAD"),
    "/metrics": ("GET",),
    "/openapi.json": ("GET",),
}
