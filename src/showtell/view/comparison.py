"""A page that shows photos with what several systems say of them: one file that opens from a disk, without a server.

    comparison.html + its CSP  ->  report as JSON  ->  one data block per photo, in the order of the rows

The browser reads a file from the start. The page works as soon as the report is there, and a photo is a string that
nobody parses before its card is shown; with the photos in the report, 50 MB of JSON stood before the first card.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from PIL import Image

from showtell.files import replacing

LONGEST_SIDE: Final = 320
QUALITY: Final = 60
"""About 8 KB for a photo, so that 5,000 make a page of 50 MB."""


def thumbnail(image: Image.Image) -> bytes:
    """A small copy as WebP, upright if the image is: 320 pixels on the longer side, or fewer if it has no more."""
    small = image.convert("RGB")  # a copy, so that the caller's image keeps its size
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()


def write_page(path: Path, report: Mapping[str, Any], thumbnails: Mapping[str, bytes]) -> None:
    """Write the page of `report`, plain JSON data, with the thumbnails by the image's name.

    A row without a thumbnail gets a placeholder. Thumbnails are asked for one at a time, so that the mapping may make
    them on demand. Raises ValueError for a number that JSON does not have (NaN, infinity).
    """
    head, tail = _template().split("<!--data-->")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{head}<script type="application/json" id="report">{_safe_json(report)}</script>\n{tail}')
        for number, row in enumerate(report["rows"]):
            photo = base64.b64encode(thumbnails.get(row["image"], b"")).decode("ascii")
            file.write(f'<script type="text/plain" id="photo-{number}">{photo}</script>\n')


def _template() -> str:
    """The page without data; its policy lets in nothing but its own style and script, known by their hashes."""
    html = files("showtell.view").joinpath("comparison.html").read_text(encoding="utf-8")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
        html = html.replace(f"'{tag}-hash'", f"'sha256-{digest}'")
    return html


def _safe_json(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the <script> it stands in, whatever the data: all in ASCII, and no `<`."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
