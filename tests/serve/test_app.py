import base64
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from tests.serve.doubles import QuickCaptioner

from showtell.errors import IMAGE_CODES, BadImage
from showtell.fetch.fetch import Fetcher
from showtell.serve.app import create_app
from showtell.serve.batcher import Batcher
from showtell.serve.limits import Limits
from showtell.serve.server_metrics import ServerMetrics
from showtell.serve.service import Service

LIMITS = Limits(batch_delay=0, images=4)


def photo(colour: tuple[int, int, int], kind: str = "PNG", size: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, kind)
    return buffer.getvalue()


RED, GREEN = photo((255, 0, 0)), photo((0, 255, 0))


class FakeFetcher(Fetcher):
    """The web is a table."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        super().__init__()
        self.pages = pages

    def fetch(self, url: str) -> bytes:
        if url not in self.pages:
            raise BadImage("url_refused", "found a host whose address is not public")
        return self.pages[url]


@pytest.fixture(scope="module")
def captioner() -> QuickCaptioner:
    return QuickCaptioner()


@pytest.fixture
def batcher(captioner: QuickCaptioner) -> Iterator[Batcher]:
    batcher = Batcher(captioner, LIMITS)
    yield batcher
    captioner.go.set()
    assert batcher.close(10)


def make_client(captioner: QuickCaptioner, batcher: Batcher, fetcher: Fetcher | None = None) -> TestClient:
    metrics = ServerMetrics()
    app = create_app(Service(captioner, batcher, LIMITS, metrics.count_image), metrics, fetcher)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def client(captioner: QuickCaptioner, batcher: Batcher) -> TestClient:
    return make_client(captioner, batcher)


def files(*photos: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{n}.png", content)) for n, content in enumerate(photos)]


def texts(answer: Any) -> list[str]:
    """Of each image: its best caption, or the code of what is wrong."""
    return [r["captions"][0]["text"] if "captions" in r else r["error"]["code"] for r in answer.json()["results"]]


def test_files_of_a_form(client: TestClient) -> None:
    answer = client.post("/v1/caption", files=files(RED, b"no image", GREEN))
    assert answer.status_code == 200
    assert texts(answer) == ["255 0 0", "not_an_image", "0 255 0"]
    caption = answer.json()["results"][0]["captions"][0]
    words = [{"text": "255 0 0", "log_probability": -0.5}]
    assert caption == {"text": "255 0 0", "language": "en", "score": -0.5, "confidence": 0.6, "words": words}


def test_json_with_base64(client: TestClient) -> None:
    plain = base64.b64encode(RED).decode()
    images = [{"base64": plain}, {"base64": f"data:image/png;base64,{plain}"}, {"base64": "red?"}, {"base64": ""}]
    answer = client.post("/v1/caption", json={"images": images})
    assert texts(answer) == ["255 0 0", "255 0 0", "not_an_image", "empty"]
    lines = [base64.encodebytes(RED).decode(), base64.urlsafe_b64encode(RED).decode().rstrip("=")]
    answer = client.post("/v1/caption", json={"images": [{"base64": text} for text in lines]})
    assert texts(answer) == ["255 0 0"] * 2


OPTIONS = ("language", "beam", "num", "max_length", "prompt", "attention")


@pytest.mark.parametrize("names", [*[[name] for name in OPTIONS], OPTIONS])
def test_null_is_as_good_as_absent(client: TestClient, names: Sequence[str]) -> None:
    image = {"base64": base64.b64encode(RED).decode()}
    expected = client.post("/v1/caption", json={"images": [image]}).json()
    given = {"images": [{**image, "url": None}], **dict.fromkeys(names)}
    assert client.post("/v1/caption", json=given).json() == expected
    for text in ("", "null"):  # what HTML and JavaScript send in a form
        assert client.post("/v1/caption", files=files(RED), data=dict.fromkeys(names, text)).json() == expected


def test_an_option_that_is_none_is_refused_in_a_form_as_well_when_it_is_empty(client: TestClient) -> None:
    answer = client.post("/v1/caption", files=files(RED), data={"bem": ""})
    assert answer.json()["error"]["message"] == "bem is no option; did you mean 'beam'?"


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        ({"images": [{"base64": None}]}, "images.0.base64: Input should be a valid string"),
        ({"images": [{}]}, "images.0.base64: Field required"),
        ({"images": [None]}, "images.0: Input should be an object"),
        ({"images": [{"base64": "aGk=", "url": "x"}]}, "images.0.url: found beside the other; expected either base64"),
        ({"images": [{"base64": "aGk=", "more": None}]}, "images.0.more: Extra inputs are not permitted"),
        ({"images": [{"url": 3, "base64": None}]}, "images.0.url: Input should be a valid string"),
        ({"images": None}, "images: Input should be a valid array"),
        ({"images": [{"base64": "aGk="}], "bem": None}, "bem is no option; did you mean 'beam'?"),
    ],
)
def test_what_is_wrong_with_an_image_is_said_once(
    client: TestClient, request_body: dict[str, Any], message: str
) -> None:
    answer = client.post("/v1/caption", json=request_body)
    assert answer.status_code == 422 and answer.json()["error"]["message"].startswith(message)
    assert ";" not in answer.json()["error"]["message"].removeprefix(message)


@pytest.mark.parametrize("as_form", [True, False])
def test_options(client: TestClient, as_form: bool) -> None:
    options = {"language": "ar", "num": 3, "attention": True, "beam": 2, "max_length": 7}
    if as_form:
        answer = client.post("/v1/caption", files=files(RED), data=options)
    else:
        image = {"base64": base64.b64encode(RED).decode()}
        answer = client.post("/v1/caption", json={"images": [image], **options})
    captions = answer.json()["results"][0]["captions"]
    assert [caption["language"] for caption in captions] == ["ar"] * 3
    maps = captions[0]["attention"]
    assert (len(maps), len(maps[0]), len(maps[0][0])) == (1, 7, 7)
    assert sum(map(sum, maps[0])) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "xx"}, "found language 'xx'; this model writes en, ar, de"),
        ({"beam": 11}, "beam: found 11; expected 1 to 10"),
        ({"beam": 0}, "beam: Input should be greater than or equal to 1"),
        ({"num": 11}, "num: found 11; expected 1 to 10"),
        ({"num": "many"}, "num: Input should be a valid integer"),
        ({"max_length": 23}, "max_length: found 23; expected 1 to 22"),
        ({"prompt": "a photo of"}, "found the prompt 'a photo of'; this model takes none, leave it out"),
        ({"prompt": "a" * 201}, "prompt: String should have at most 200 characters"),
        ({"prompt": "a\nphoto"}, "prompt: String should match pattern"),
        ({"bem": 3}, "bem is no option; did you mean 'beam'?"),
    ],
)
def test_wrong_options(client: TestClient, options: dict[str, Any], message: str) -> None:
    by_form = client.post("/v1/caption", files=files(RED), data=options)
    image = {"base64": base64.b64encode(RED).decode()}
    by_json = client.post("/v1/caption", json={"images": [image], **options})
    for answer in (by_form, by_json):
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert error["code"] == "invalid" and error["message"].startswith(message)
        assert "\n" not in error["message"]


@pytest.mark.parametrize("options", [{"beam": True}, {"num": "3"}, {"num": 2.5}, {"attention": 1}, {"language": 3}])
def test_json_has_types(client: TestClient, options: dict[str, Any]) -> None:
    image = {"base64": base64.b64encode(RED).decode()}
    answer = client.post("/v1/caption", json={"images": [image], **options})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert client.post("/v1/caption", json={"images": [image], "num": 2.0}).status_code == 200


def test_bodies_that_make_no_sense(client: TestClient) -> None:
    def post(content: str, kind: str) -> tuple[int, str]:
        answer = client.post("/v1/caption", content=content, headers={"content-type": kind})
        return answer.status_code, answer.json()["error"]["code"]

    assert post("{", "application/json") == (400, "bad_request")
    assert post("[" * 100_000, "application/json") == (400, "bad_request")
    assert post("[]", "application/json") == (422, "invalid")
    assert post('{"images": []}', "application/json") == (422, "invalid")
    assert post('{"images": [{}]}', "application/json") == (422, "invalid")
    assert post("x", "multipart/form-data") == (400, "bad_request")
    assert post("x", "multipart/form-data; boundary=y") in [(400, "bad_request"), (422, "invalid")]
    assert post("x", "text/plain") == (415, "unsupported_media_type")
    assert client.post("/v1/caption").status_code == 415
    assert client.post("/v1/caption", files=[("image", ("a.png", RED))]).json()["error"]["message"] == (
        "found a file named 'image'; expected files named 'images'"
    )
    assert client.post("/v1/caption", files=files(RED), data={"num": ["1", "2"]}).status_code == 422
    assert client.post("/v1/caption", data={"images": "x"}, files=[("x", ("", b""))]).status_code == 422


def test_what_was_sent_is_not_sent_back(client: TestClient) -> None:
    answer = client.post("/v1/caption", json={"images": [{"base64": "x" * 100_000, "more": 1}]})
    assert answer.status_code == 422 and len(answer.content) < 500


@pytest.mark.parametrize("items", ["1", "{}", '{"base64":""}', '{"url":"x"}'])
def test_a_body_of_small_values_is_refused_at_once(client: TestClient, items: str) -> None:
    body = '{"images":[' + ",".join([items] * 500_000) + "]}"
    answer = client.post("/v1/caption", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert "commas" in answer.json()["error"]["message"], "it would take minutes to look at each"
    few = '{"images":[' + ",".join([items] * 4000) + "]}"
    answer = client.post("/v1/caption", content=few, headers={"content-type": "application/json"})
    assert answer.status_code in (403, 422) and len(answer.content) < 500


def test_messages_are_short_whatever_was_sent(client: TestClient) -> None:
    image = {"base64": base64.b64encode(RED).decode()}
    for options in ({"language": "x" * 100_000}, {"num": 10**4000}, {"x" * 100_000: 1}):
        answer = client.post("/v1/caption", json={"images": [image], **options})
        assert answer.status_code == 422 and len(answer.content) < 1000


@pytest.mark.parametrize("charset", ["undefined", "utf-16", "punycode", "x" * 10_000])
def test_a_form_is_in_utf_8(client: TestClient, charset: str) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    kind = {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}
    assert client.post("/v1/caption", content=part, headers=kind).status_code == 400
    kind = {"content-type": "multipart/form-data; boundary=b; charset=UTF-8"}
    assert texts(client.post("/v1/caption", content=part, headers=kind)) == ["not_an_image"]


def test_too_many_images(client: TestClient) -> None:
    answer = client.post("/v1/caption", files=files(*[RED] * 5))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "too_many_images")
    image = {"base64": base64.b64encode(RED).decode()}
    answer = client.post("/v1/caption", json={"images": [image] * 5})
    assert answer.json()["error"] == {
        "code": "too_many_images",
        "message": "found 5 images; expected at most 4 in a request",
    }
    assert len(texts(client.post("/v1/caption", files=files(*[RED] * 4)))) == 4


def test_urls_only_where_they_are_allowed(client: TestClient, captioner: QuickCaptioner, batcher: Batcher) -> None:
    web = {"https://example.org/red.png": RED, "https://example.org/large": b"x" * (LIMITS.body_bytes + 1)}
    images = [{"url": url} for url in [*web, "http://127.0.0.1/"]] + [{"base64": base64.b64encode(GREEN).decode()}]
    refused = client.post("/v1/caption", json={"images": images})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "urls_not_allowed")
    answer = make_client(captioner, batcher, FakeFetcher(web)).post("/v1/caption", json={"images": images})
    assert texts(answer) == ["255 0 0", "too_large", "url_refused", "0 255 0"]


def test_pixels_are_counted_before_they_are_decoded(client: TestClient) -> None:
    # A PNG whose header says 60,000 x 1,000: decoding would find no data; its size is refused first.
    width = (60_000).to_bytes(4, "big") + (1_000).to_bytes(4, "big")
    assert texts(client.post("/v1/caption", files=files(RED[:16] + width + RED[24:])))[0] in ("too_large", "truncated")
    buffer = io.BytesIO()
    Image.new("1", (60_000, 1_000)).save(buffer, "PNG")
    assert texts(client.post("/v1/caption", files=files(buffer.getvalue()))) == ["too_large"]


def test_codes_of_images_are_those_of_the_command_line(client: TestClient) -> None:
    bad: Sequence[bytes] = [b"", RED[:-30], b"<svg", photo((1, 2, 3), size=4)]
    codes = texts(client.post("/v1/caption", files=files(*bad)))
    assert codes == ["empty", "truncated", "unsupported", "too_small"] and set(codes) <= set(IMAGE_CODES)


def test_a_full_queue_answers_at_once(client: TestClient, captioner: QuickCaptioner) -> None:
    captioner.go.clear()
    batcher = Batcher(captioner, Limits(queue_size=1, batch_delay=0))
    full = make_client(captioner, batcher)
    try:
        batcher.submit([RED], captioner.generation_options())
        answer = full.post("/v1/caption", files=files(RED))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
        assert full.get("/healthz").status_code == 200 and full.get("/readyz").status_code == 200
    finally:
        captioner.go.set()
        assert batcher.close(10)
    stopped = full.post("/v1/caption", files=files(RED))
    assert (stopped.status_code, stopped.json()["error"]["code"]) == (503, "stopping")
    assert full.get("/healthz").status_code == 200 and full.get("/readyz").status_code == 503
    rejected = [line for line in full.get("/metrics").text.splitlines() if "rejected_requests_total{" in line]
    assert sorted(rejected) == [
        'showtell_rejected_requests_total{code="queue_full"} 1.0',
        'showtell_rejected_requests_total{code="stopping"} 1.0',
    ]


def test_the_model_is_described(client: TestClient, captioner: QuickCaptioner) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert model["languages"] == ["en", "ar", "de"] == model["calibrated"]
    assert model["grid"] == [7, 7] and model["max_length"] == captioner.max_length
    assert model["takes_prompt"] is False
    assert model["id"].startswith("default-") and "/" not in model["id"]
    assert client.post("/v1/caption", files=files(RED)).json()["model"] == model["id"]


def test_counts_for_prometheus(client: TestClient) -> None:
    client.post("/v1/caption", files=files(RED, b"no image", RED))
    text = client.get("/metrics").text
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["showtell_images_total", "ok"] == 2
    assert values["showtell_images_total", "not_an_image"] == 1
    assert values[("showtell_queued_images",)] == 0


def test_nothing_else_is_there(client: TestClient) -> None:
    for path in ("/docs", "/redoc", "/v1", "/v1/caption/"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path
    wrong = client.get("/v1/caption")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


def test_a_mistake_is_not_told(client: TestClient, captioner: QuickCaptioner, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(captioner, "caption_preprocessed", broken)
    answer = client.post("/v1/caption", files=files(RED))
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "swordfish" not in answer.text


def test_the_example_in_openapi_works(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    example = document["paths"]["/v1/caption"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert texts(client.post("/v1/caption", content=json.dumps(example), headers={"content-type": "application/json"}))
