"""A server whose model continues a given beginning of the caption."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests import bad_images
from tests.clocks import HANG_SECONDS
from tests.tiny_bundle import write

from showtell.core.captioner import Captioner
from showtell.serve.app import create_app
from showtell.serve.batcher import Batcher
from showtell.serve.limits import Limits
from showtell.serve.server_metrics import ServerMetrics
from showtell.serve.service import Service

PHOTO = bad_images.encode(bad_images.photo(40, 30), "PNG")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompt")
    return write(folder / "model", folder / "parts")


@pytest.fixture(scope="module")
def client(model: Path) -> Iterator[TestClient]:
    captioner = Captioner.load(model, threads=1)
    limits = Limits(batch_delay=0)
    batcher = Batcher(captioner, limits)
    yield TestClient(create_app(Service(captioner, batcher, limits), ServerMetrics()))
    assert batcher.close(10)


def captions(client: TestClient, as_form: bool, **options: Any) -> Any:
    if as_form:
        return client.post("/v1/caption", files=[("images", ("a.png", PHOTO))], data=options)
    image = {"base64": base64.b64encode(PHOTO).decode()}
    return client.post("/v1/caption", json={"images": [image], **options})


@pytest.mark.parametrize("as_form", [True, False])
def test_a_prompt_begins_the_caption(client: TestClient, as_form: bool) -> None:
    (result,) = captions(client, as_form, prompt="a cat of").json()["results"]
    (caption,) = result["captions"]
    assert caption["text"] == "a cat of a dog runs."
    assert [word["text"] for word in caption["words"]] == ["a", "dog", "runs."]
    (result,) = captions(client, as_form).json()["results"]
    assert result["captions"][0]["text"] == "a dog runs."


def test_requests_with_different_prompts_share_no_batch(model: Path) -> None:
    """Whose captions would all begin alike."""
    captioner = Captioner.load(model, threads=1)
    batcher = Batcher(captioner, Limits(batch_delay=0.05))
    prompts = ["of", "a cat of", "cat of", ""] * 2
    asked = [batcher.submit([PHOTO], captioner.generation_options(prompt=prompt)) for prompt in prompts]
    texts = [caption.text for future in asked for (caption,) in future.result(HANG_SECONDS)]
    assert batcher.close(10)
    assert texts == [f"{prompt} a dog runs.".strip() for prompt in prompts]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "dog " * 14, "max_length": 1}, "found a prompt of 15 tokens; this model reads at most 12"),
        ({"prompt": "a photo of", "max_length": 10}, "found max_length 10; this model writes at most 9 tokens after"),
        ({"prompt": "a" * 201}, "prompt: String should have at most 200 characters"),
    ],
)
def test_prompts_that_are_too_long(client: TestClient, options: dict[str, Any], message: str) -> None:
    for as_form in (True, False):
        answer = captions(client, as_form, **options)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
        assert answer.json()["error"]["message"].startswith(message)


def test_the_prompt_is_described_where_the_model_takes_one(client: TestClient) -> None:
    body = client.get("/openapi.json").json()["paths"]["/v1/caption"]["post"]["requestBody"]["content"]
    for kind in ("application/json", "multipart/form-data"):
        field = body[kind]["schema"]["properties"]["prompt"]
        (text,) = [each for each in field.get("anyOf", [field]) if each["type"] == "string"]
        assert text["maxLength"] == 200
    assert client.get("/v1/models").json()["models"][0]["takes_prompt"] is True
