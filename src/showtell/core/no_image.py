"""What a file is that is called an image and is none, where that tells what to do."""

from __future__ import annotations

import re
from typing import Final

_KINDS: Final = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), description)
    for pattern, description in (
        (
            rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|\?xml)\b",
            "a web page or XML, as servers send it in place of a photo; download the photo again",
        ),
        (
            rb'(\xef\xbb\xbf)?\s*(\{|\[\s*\{)\s*"',
            "JSON, as servers send it in place of a photo; give the photo that it speaks of",
        ),
        (rb"version https://git-lfs", "a pointer of Git LFS; run `git lfs pull`"),
        (
            rb"data:image/|(/9j/|iVBORw0KGgo|R0lGOD|UklGR|AAAA.{4}Z0eXB)[a-z0-9+/]{12}",
            "an image in base64; decode it first, as `base64 -d` does",
        ),
        (
            rb"PK\x03\x04|\x1f\x8b\x08|BZh[1-9]1AY|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\xfd7zXZ\0|\x28\xb5\x2f\xfd",
            "an archive or a compressed file; unpack it first",
        ),
        (rb"\0{16}", "zeros, as an interrupted copy or download leaves them; copy it again"),
    )
)


def known_content(head: bytes) -> str | None:
    """What begins with these bytes, and what to do about it. No path of a list begins with any of them."""
    return next((description for pattern, description in _KINDS if pattern.match(head)), None)
