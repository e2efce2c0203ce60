"""The text of an image in JSON, decoded: base64 in all the forms that programs write.

    data: URL -> its text;   line breaks and blanks -> none;   -_ (URL-safe) -> +/;   padding -> as it should be

Rejected: `base64.b64decode` without `validate`, which drops any letter that it does not know: text that is no base64
would become other bytes instead of an error.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from showtell.errors import BadImage

_DATA_URL: Final = re.compile(r"\s*data:[^,]{0,200},", re.IGNORECASE)
_URL_ESCAPES: Final = {"%2b": "+", "%2f": "/", "%3d": "=", "%0a": "", "%0d": "", "%20": ""}
"""What a data: URL may have in place of these. Rejected: `urllib.parse.unquote`, whose list of pieces takes twenty
times the memory of a text of nothing but escapes."""
_WHITESPACE: Final = b" \t\r\n\v\f"
_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")
_UNKNOWN: Final = re.compile(r"[^A-Za-z0-9+/_=\s-]", re.ASCII)


def decode_base64(text: str) -> bytes:
    """Raises BadImage `not_an_image` for text that is not base64."""
    if url := _DATA_URL.match(text):
        text = text[url.end() :]
        for escape, character in _URL_ESCAPES.items() if "%" in text else ():
            text = text.replace(escape, character).replace(escape.upper(), character)
    try:
        data = text.encode("ascii").translate(_STANDARD_ALPHABET, _WHITESPACE).rstrip(b"=")
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except ValueError as error:  # UnicodeEncodeError and binascii.Error are such
        raise BadImage("not_an_image", f"found {_problem(text)}; expected the bytes of an image file") from error


def _problem(text: str) -> str:
    if unknown := _UNKNOWN.search(text):
        return f"text that is not base64 ({unknown.group()!a} as its character {unknown.start() + 1})"
    return "base64 of an impossible length, cut off or put together of several"
