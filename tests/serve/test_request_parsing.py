import base64
import json

from showtell.serve.request_parsing import parse_json
from showtell.serve.schema import Options


def test_the_text_of_an_image_is_not_kept_beside_its_bytes() -> None:
    """While a request waits it holds its images once; the base64 of one is a third larger, or far more."""
    data = bytes(range(256)) * 1000
    parsed = parse_json(json.dumps({"images": [{"base64": base64.b64encode(data).decode()}], "num": 2}).encode())
    assert parsed.images == [data]
    assert parsed.options == Options(num=2) and type(parsed.options) is Options
