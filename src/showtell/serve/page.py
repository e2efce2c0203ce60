"""The web page: static files, its settings as JSON, and previews of photos that a browser cannot show.

    GET /                     the page
    GET /page/...             its modules, style, icon and examples
    GET /page/settings.json   what it has to know of model and server
    POST /page/preview        the bytes of a photo -> JPEG; for TIFF and HEIC, which most browsers do not show

Captions come from POST /v1/caption, as for any other program. All addresses in the page are relative, so that a proxy
may serve it below a path.

Rejected: starlette's StaticFiles. It asks the file system at each request, makes the ETag of time and size, which are
equal in two container builds, and needs the paths closed that it should not serve.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
from fastapi import FastAPI
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from showtell.core.image import load_image
from showtell.core.pixels import share_after_cut
from showtell.errors import BadImage
from showtell.image_formats import ACCEPT_ATTRIBUTE, DECODED
from showtell.languages import is_right_to_left, known_languages, language_info
from showtell.serve.client_key import client_key
from showtell.serve.error_response import ErrorResponse, RequestRejected, image_message
from showtell.serve.fair_limiter import FairLimiter
from showtell.serve.service import Service
from showtell.view import maps

PREVIEW_PATH: Final = "/page/preview"
SETTINGS_PATH: Final = "/page/settings.json"
PREVIEW_SIDE: Final = 1024
"""Pixels of the longer side of a preview."""
MAX_PREVIEWS: Final = 8
"""Previews in work or waiting; decoded one after another, since each may take 150 MB."""
FORM_BYTES: Final = 4096
"""Bytes of a form besides its photo, at most."""

_EXTRA_MODULES: Final = {"heif": "pillow_heif"}
_FOLDER: Final = Path(__file__).parent
_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


def _static_paths() -> Iterator[tuple[str, Path]]:
    """Path of the URL and file of everything that the page consists of."""
    yield "/", _FOLDER / "static" / "index.html"
    for file in sorted((_FOLDER / "static").iterdir()):
        if file.suffix in (".css", ".js", ".svg"):
            yield f"/page/{file.name}", file
    for file in sorted((_FOLDER / "examples").glob("*.jpg")):
        yield f"/page/examples/{file.name}", file


STATIC_FILES: Final = dict(_static_paths())
PAGE_METHODS: Final = {
    **dict.fromkeys((*STATIC_FILES, SETTINGS_PATH), ("GET", "HEAD")),
    PREVIEW_PATH: ("POST",),
}


@dataclass(frozen=True)
class _CachedFile:
    """A file in memory. A browser asks each time whether it has changed, and gets it only if it has."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def create(cls, content: bytes, suffix: str) -> _CachedFile:
        return cls(content, _MEDIA_TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def response(self, request: Request) -> Response:
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        known = request.headers.get("if-none-match", "").split(",")
        # A proxy that compresses makes the tag a weak one.
        if self.etag in (tag.strip().removeprefix("W/") for tag in known):
            # With its type: a browser replaces the headers it has by these, the policy for HTML among them.
            return Response(status_code=304, media_type=self.media_type, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def add_page(app: FastAPI, service: Service) -> None:
    """Adds the routes of PAGE_METHODS to the app. The files are read now, and never again."""
    files = {path: _CachedFile.create(file.read_bytes(), file.suffix) for path, file in STATIC_FILES.items()}
    files[SETTINGS_PATH] = _CachedFile.create(json.dumps(page_settings(service)).encode(), ".json")
    previews, decoder = FairLimiter(MAX_PREVIEWS), anyio.CapacityLimiter(1)

    async def static(request: Request) -> Response:
        return files[request.scope["path"]].response(request)

    async def preview(request: Request) -> Response:
        client, max_pixels = client_key(request.client and request.client.host), service.limits.image_pixels
        photo = await request.body()  # first: a slow upload would keep a place
        if not previews.try_acquire(client):
            raise RequestRejected(ErrorResponse.busy("as many previews are in work as are allowed"))
        try:
            content = await anyio.to_thread.run_sync(preview_jpeg, photo, max_pixels, limiter=decoder)
        except BadImage as error:
            raise RequestRejected(ErrorResponse(422, error.code, image_message(error))) from error
        finally:
            previews.release(client)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    for path in files:
        app.add_route(path, static, list(PAGE_METHODS[path]), include_in_schema=False)
    app.add_route(PREVIEW_PATH, preview, list(PAGE_METHODS[PREVIEW_PATH]), include_in_schema=False)


def preview_jpeg(photo: bytes, max_pixels: int) -> bytes:
    """The photo as a JPEG, upright, with PREVIEW_SIDE pixels on its longer side at most. Raises BadImage."""
    image = load_image(photo, max_pixels=max_pixels)
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def page_settings(service: Service) -> dict[str, Any]:
    """What the page has to know before the first photo; `settings.js` describes the fields."""
    captioner, limits = service.captioner, service.limits
    manifest = captioner.bundle.manifest
    return {
        "model": service.model,
        "languages": [
            {
                "code": language,
                "name": language_info(language).name if language in known_languages() else None,
                "direction": "rtl" if is_right_to_left(language) else "ltr",
                "calibrated": language in captioner.calibrated,
            }
            for language in captioner.languages
        ],
        "beam": min(captioner.settings().beam_size, limits.beam_size),
        "max_beam": limits.beam_size,
        "accept": accepted_files(),
        "max_photo_bytes": max(0, limits.body_bytes - FORM_BYTES),
        "deadline": limits.request_timeout,
        # An ensemble whose members attend over different grids has no attention to show.
        "has_attention": captioner.has_common_grid and manifest.grid != (1, 1),
        "crop": {"mode": manifest.pixels.crop_mode, "share": share_after_cut(manifest.pixels)},
        "attention_map": {
            "colors": list(maps.COLORMAP),
            "even": maps.MIN_PEAK_RATIO,
            "opacity": maps.MAX_OPACITY,
            "dimmed": maps.PHOTO_BRIGHTNESS,
            "unseen": maps.OUTSIDE_FADE,
        },
        "examples": list(_examples()),
    }


def accepted_files() -> str:
    """The `accept` attribute of a file input: `image/*`, which knows few of the newer formats, and suffixes.

    Without those of an extra that is not installed: iPhones send a JPEG unless a page asks for HEIC.
    """
    missing = {suffix for f in DECODED if f.extra and not find_spec(_EXTRA_MODULES[f.extra]) for suffix in f.suffixes}
    return ",".join(item for item in ACCEPT_ATTRIBUTE.split(",") if item not in missing)


def _examples() -> Iterator[dict[str, Any]]:
    """In the order of `credits.json`; `examples/README.md` has their licences."""
    credits = json.loads((_FOLDER / "examples" / "credits.json").read_text(encoding="utf-8"))
    for name, credit in credits.items():
        with Image.open(_FOLDER / "examples" / name) as image:
            width, height = image.size
        yield {"name": name, "url": f"page/examples/{name}", "width": width, "height": height, **credit}
