import base64
import textwrap

import pytest

from showtell.errors import BadImage
from showtell.serve.base64_image import decode_base64

DATA = bytes(range(256)) + b"\xfb\xff\xfe"
"""Its base64 has + and / (or - and _), and two lengths of it have padding."""
PLAIN = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        base64.encodebytes(DATA).decode(),  # MIME: a line break after 76 characters
        PLAIN.replace("A", "A\r\n"),
        textwrap.indent(textwrap.fill(PLAIN, 64), "\t  "),
        base64.urlsafe_b64encode(DATA).decode(),
        "data:image/png;base64," + PLAIN,
        "DATA:image/svg+xml;charset=utf-8;BASE64,\n" + PLAIN,
        "data:;base64," + PLAIN,
        "data:application/octet-stream," + PLAIN,
        " data:image/jpeg;base64," + PLAIN.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D") + "%0A",
    ],
)
def test_every_usual_form(text: str) -> None:
    assert decode_base64(text) == DATA


@pytest.mark.parametrize("length", range(5))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_padding_may_be_left_out(length: int, encode: object) -> None:
    data = DATA[-length:] if length else b""
    text = encode(data).decode()  # type: ignore[operator]
    assert decode_base64(text) == decode_base64(text.rstrip("=")) == decode_base64(text + "\n") == data


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("red?", "text that is not base64 ('?' as its character 4)"),
        ("b'aGk='", 'text that is not base64 ("\'" as its character 2)'),
        ("https://example.org/a.jpg", "text that is not base64 (':' as its character 6)"),
        ("aGkö", "text that is not base64 ('\\xf6' as its character 4)"),
        ("data:image/png;base64,aGk%41", "text that is not base64 ('%' as its character 4)"),
        ("aGk==aGk=", "base64 of an impossible length, cut off or put together of several"),
        ("aGkaG", "base64 of an impossible length, cut off or put together of several"),
    ],
)
def test_what_is_not_base64_is_one_sentence(text: str, problem: str) -> None:
    with pytest.raises(BadImage) as raised:
        decode_base64(text)
    assert str(raised.value) == f"not_an_image: found {problem}; expected the bytes of an image file"
