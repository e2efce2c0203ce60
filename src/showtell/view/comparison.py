"""HTML page that compares several systems photo by photo: one file that opens from disk, without a server.

    comparison.html with its CSP  ->  comparison as JSON  ->  one data block per photo, in the order of the rows

The browser parses the file from its start. The page works as soon as the comparison is parsed, and a photo's block is
read only when its card is shown. Rejected: photos inside the JSON, 50 MB of which would be parsed before the first
card.
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
from showtell.languages import is_right_to_left, language_info

MAX_SIDE: Final = 320
QUALITY: Final = 60
"""About 8 KB per photo, 50 MB for 5,000."""


def thumbnail(image: Image.Image) -> bytes:
    """A copy as WebP with at most MAX_SIDE pixels on the longer side."""
    small = image.convert("RGB")  # `thumbnail` works in place; the caller's image must not change
    small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()


def write_page(path: Path, comparison: Mapping[str, Any], thumbnails: Mapping[str, bytes]) -> None:
    """Writes the page of `comparison`, the JSON data of `metrics/comparison`, with thumbnails by image name.

    A row without a thumbnail gets a placeholder. Thumbnails are looked up one at a time, so the mapping may create them
    on demand. Raises ValueError for a number that JSON does not have (NaN, infinity).
    """
    head, tail = _template().split("<!--data-->")
    # A language of unknown direction is left to the browser, sentence by sentence.
    direction = "rtl" if is_right_to_left(comparison["language"]) else "auto"
    name = language_info(comparison["language"]).english_name
    data = _script_safe_json({**comparison, "direction": direction, "language_name": name})
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{head}<script type="application/json" id="comparison">{data}</script>\n{tail}')
        for number, row in enumerate(comparison["rows"]):
            photo = base64.b64encode(thumbnails.get(row["image"], b"")).decode("ascii")
            file.write(f'<script type="text/plain" id="photo-{number}">{photo}</script>\n')


def _template() -> str:
    """The page without data. Its CSP allows only its own style and script, by their hashes."""
    html = files("showtell.view").joinpath("comparison.html").read_text(encoding="utf-8")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
        html = html.replace(f"'{tag}-hash'", f"'sha256-{digest}'")
    return html


def _script_safe_json(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the <script> element around it: ASCII, without `<`."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
