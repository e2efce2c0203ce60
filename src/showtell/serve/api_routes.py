"""Paths of the API and their methods; `page.PAGE_METHODS` has those of the page."""

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
