"""Files that are called images and are none: the row says what they are and what to do."""

import pytest

from showtell.core.image import load_image
from showtell.errors import BadImage


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><title>404</title>", "found a web page or XML, .*; download the photo again"),
        (b'{"message": "Not Found"}', "found JSON, .*"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", ".*; run `git lfs pull`"),
        (b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAQDAwMDAg==", "found an image in base64; decode it first.*"),
        (b"\x1f\x8b\x08\0" + bytes(20), "found an archive or a compressed file; unpack it first"),
        (bytes(5000), "found zeros, .*; copy it again"),
        (b"hello, world", "the file begins with b'hello, world'; expected JPEG, .*"),
    ],
)
def test_it_is_said_what_it_is(content: bytes, message: str) -> None:
    with pytest.raises(BadImage, match=f"^not_an_image: {message}$"):
        load_image(content)
