"""Addresses and methods of the API, with and without the page beside it."""

from collections.abc import Iterator

import pytest
from tests.serve.running import Running

from showtell.serve.api_routes import API_METHODS
from showtell.serve.server import ServerConfig

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")


@pytest.fixture(scope="module", params=[False, True], ids=["api", "page"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(ServerConfig(page=request.param))
    yield running
    running.stop()


def test_another_method_is_told_which_are_there(server: Running) -> None:
    for path, allowed in API_METHODS.items():
        for method in METHODS:
            answer = server.request(method, path)
            if method in allowed:
                assert answer.status_code != 405, (method, path)
                continue
            assert (answer.status_code, answer.headers["allow"]) == (405, ", ".join(allowed)), (method, path)
            assert method == "HEAD" or answer.json()["error"]["code"] == "method_not_allowed"


def test_these_are_what_openapi_describes(server: Running) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    described = {path: {method.upper() for method in methods} for path, methods in paths.items()}
    known = {path: {method for method in methods if method != "HEAD"} for path, methods in API_METHODS.items()}
    assert described | {"/openapi.json": {"GET"}} == known


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_is_told_to_everybody(method: str) -> None:
    server = Running(ServerConfig(page=False, api_key="sesame"))
    try:
        for path in ("/healthz", "/readyz"):
            answer = server.request(method, path, headers={"Host": "192.0.2.1:7860"})
            assert answer.status_code == 200 and bool(answer.content) == (method == "GET")
        answer = server.request(method, "/v1/models")
        assert answer.status_code == (401 if method == "GET" else 405)
    finally:
        server.stop()
