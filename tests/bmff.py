"""HEIC files, and the boxes of AVIF and HEIC files, for tests."""

import io
import struct

from PIL import Image


def heic(image: Image.Image, **options: object) -> bytes:
    """`image` in HEIC, by pillow-heif; options are those of its `save`.

    An orientation in `exif` is written twice, to EXIF and as a rotation and mirroring of the container, where it is
    given as bytes; as an `Image.Exif`, only to EXIF.
    """
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, **{"quality": 95, "chroma": 444, **options})
    return file.getvalue()


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L4s", len(content) + 8, kind) + content


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Type and content of the boxes side by side in `data`, with sizes of 32 bits."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">L4s", data, at)
        found.append((kind, data[at + 8 : at + (size or len(data))]))
        at += size or len(data)
    return found


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(box(*part) for part in parts)


def replaced(data: bytes, path: tuple[bytes, ...], change: object) -> bytes:
    """`data` with the content of the box at `path`, such as (meta, iprp, ipco), changed by a function."""
    parts = []
    for kind, content in boxes(data):
        if kind == path[0]:
            skip = 4 if kind == b"meta" else 0
            inner = content[skip:]
            changed = change(inner) if len(path) == 1 else replaced(inner, path[1:], change)
            content = content[:skip] + changed
        parts.append((kind, content))
    return joined(parts)
