"""Addresses and methods of the API, beside a page that answers at all others."""

from collections.abc import Iterator

import httpx
import pytest
from tests.serve.running import Running

from showtell.serve.api_routes import API_METHODS
from showtell.serve.limits import Limits
from showtell.serve.server import Access

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")


@pytest.fixture(scope="module", params=[False, True], ids=["api", "page"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    if request.param:
        pytest.importorskip("gradio", reason="the page needs gradio (pip install 'showtell[serve]')")
    running = Running(Limits(wait=0), Access(page=request.param))
    yield running
    running.stop()


def test_another_method_is_told_which_are_there(server: Running) -> None:
    for path, allowed in API_METHODS.items():
        for method in METHODS:
            answer = httpx.request(method, server.url + path)
            if method in allowed:
                assert answer.status_code != 405, (method, path)
                continue
            assert (answer.status_code, answer.headers["allow"]) == (405, ", ".join(allowed)), (method, path)
            assert method == "HEAD" or answer.json()["error"]["code"] == "method_not_allowed"


def test_these_are_what_openapi_describes(server: Running) -> None:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    described = {path: {method.upper() for method in methods} for path, methods in paths.items()}
    known = {path: {each for each in methods if each != "HEAD"} for path, methods in API_METHODS.items()}
    assert described | {"/openapi.json": {"GET"}} == known


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_is_told_to_everybody(method: str) -> None:
    server = Running(Limits(wait=0), Access(page=False, key="sesame"))
    try:
        for path in ("/healthz", "/readyz"):
            answer = httpx.request(method, server.url + path, headers={"Host": "192.0.2.1:7860"})
            assert answer.status_code == 200 and bool(answer.content) == (method == "GET")
        assert httpx.request(method, f"{server.url}/v1/models").status_code == (401 if method == "GET" else 405)
    finally:
        server.stop()
