"""Photos that are objects of their own."""

from __future__ import annotations

from dataclasses import dataclass

from showtell.core.image import MAX_BYTES
from showtell.errors import BadImage
from showtell.image_formats import SIGNATURE_BYTES, expected_formats, format_of_bytes
from showtell.remote.client import read_range


@dataclass(frozen=True)
class StoredImage:
    """An object. Calling it gives its bytes, at most those that an image may have and one more; raises BadImage."""

    url: str

    def __call__(self) -> bytes:
        return read_range(self.url, 0, MAX_BYTES + 1)


@dataclass(frozen=True)
class DoubtfulImage:
    """An object whose name is that of a picture that is not decoded: its first bytes decide, before it is read."""

    url: str
    what: str

    def __call__(self) -> bytes:
        image_format = format_of_bytes(read_range(self.url, 0, SIGNATURE_BYTES), self.url)
        if image_format is None or not image_format.is_decoded:
            raise BadImage("unsupported", f"found {self.what}, by its name; {expected_formats()}; convert it")
        return StoredImage(self.url)()
