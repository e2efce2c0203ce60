import asyncio
import base64
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.serve.asking import Answer, ask, ask_async, echo, gate

from showtell.errors import BadConfig
from showtell.serve.gate import Gate, host_names
from showtell.serve.limits import Limits

BEARER = {"authorization": "Bearer sesame"}


def test_a_good_request_passes_with_safe_headers() -> None:
    found = ask(gate(), pieces=[b"12345", b"678"], content_length="8")
    assert (found.status, found.body, found.complete) == (200, b"8", True)
    assert "default-src 'self'" in found.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in found.headers["content-security-policy"]
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["referrer-policy"] == "no-referrer"
    assert found.headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in found.headers and "connection" not in found.headers


@pytest.mark.parametrize(
    ("request_of", "status", "code"),
    [
        ({"path": "/etc"}, 404, "not_found"),
        ({"method": "DELETE"}, 405, "method_not_allowed"),
        ({"origin": "https://evil.example"}, 403, "cross_site"),
        ({"origin": "null"}, 403, "cross_site"),
        ({"origin": "http://127.0.0.1:1"}, 403, "cross_site"),
        ({"origin": "http://["}, 403, "cross_site"),
        ({"sec_fetch_site": "cross-site"}, 403, "cross_site"),
        ({"host": "rebound.example", "origin": "http://rebound.example"}, 421, "wrong_host"),
        ({"host": ""}, 421, "wrong_host"),
        ({"content_length": str(20 * 2**20 + 1)}, 413, "body_too_large"),
    ],
)
def test_who_is_turned_away(request_of: dict[str, str], status: int, code: str) -> None:
    called = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)

    found = ask(gate(app, hosts=host_names("127.0.0.1", ())), **request_of)  # type: ignore[arg-type]
    assert (found.status, found.code, found.complete, called) == (status, code, True, [])
    assert found.headers["x-content-type-options"] == "nosniff", "refusals have the safe headers, too"


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
def test_names_of_this_machine(host: str) -> None:
    assert ask(gate(hosts=host_names("127.0.0.1", ())), host=host, origin=f"http://{host}").status == 200


def test_behind_a_proxy() -> None:
    site = {"origin": "https://captions.example", "host": "backend:7860"}
    assert ask(gate(), **site).status == 403
    assert ask(gate(), **site, x_forwarded_host="captions.example").status == 200
    assert ask(gate(), **site, sec_fetch_site="same-origin").status == 200
    assert ask(gate(), **site, sec_fetch_site="same-site").status == 403


def test_a_server_on_a_network_goes_by_any_name_or_by_those_given() -> None:
    assert host_names("0.0.0.0", ()) == ()
    assert ask(gate(hosts=()), host="captions.example").status == 200
    named = gate(hosts=host_names("127.0.0.1", ("Captions.Example",)))
    assert ask(named, host="captions.example:443").status == 200
    assert ask(named, host="127.0.0.1:7860").status == 200, "as it says of itself when it starts"
    assert ask(named, host="evil.example").status == 421


@pytest.mark.parametrize("name", ["https://captions.example", "captions.example:8080", "captions.example/", "", "a b"])
def test_names_that_would_never_match(name: str) -> None:
    with pytest.raises(BadConfig, match=r"--host-name .*: expected a name such as captions"):
        host_names("0.0.0.0", (name,))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer sesam"},
        {"authorization": "Bearer sesamee"},
        {"authorization": "Bearer"},
        {"authorization": "Basic sesame"},
        {"authorization": "Basic " + base64.b64encode(b"sesame:").decode()},
        {"x_api_key": "öffne dich"},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
    ],
)
def test_without_the_key_nothing_is_open_but_health(headers: dict[str, str]) -> None:
    locked = gate(key="sesame")
    found = ask(locked, **headers)  # type: ignore[arg-type]
    assert (found.status, found.code) == (401, "unauthorized")
    assert found.headers["www-authenticate"].startswith("Bearer")
    assert ask(locked, method="GET", accept="text/html").headers["www-authenticate"].startswith("Basic")
    assert ask(locked, "/healthz", "GET").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        BEARER,
        {"authorization": "bearer sesame"},
        {"x_api_key": "sesame"},
        {"authorization": "Basic " + base64.b64encode(b"anyone:sesame").decode()},
        {"authorization": "Basic " + base64.b64encode(b"of the:proxy").decode(), "x_api_key": "sesame"},
    ],
)
def test_with_the_key(headers: dict[str, str]) -> None:
    assert ask(gate(key="sesame"), **headers).status == 200  # type: ignore[arg-type]


def test_other_sites_only_when_asked_for() -> None:
    site = {"origin": "https://good.example"}
    friendly = gate(origins=("https://good.example",), key="sesame")
    found = ask(friendly, **site, **BEARER)
    assert found.headers["access-control-allow-origin"] == "https://good.example"
    # Before a browser sends the key it asks, without the key, whether it may.
    asked = ask(friendly, method="OPTIONS", **site, access_control_request_method="POST")
    assert asked.status == 200 and asked.headers["access-control-allow-origin"] == "https://good.example"
    # A script has to be able to read why it was turned away.
    assert ask(friendly, **site).headers["access-control-allow-origin"] == "https://good.example"
    evil = ask(friendly, **BEARER, origin="https://evil.example")
    assert evil.status == 403 and "access-control-allow-origin" not in evil.headers
    assert ask(gate(), method="OPTIONS", **site, access_control_request_method="POST").status == 403
    for question in ({"origin": "https://evil.example"}, {**site, "access_control_request_method": "PUT"}):
        refused = ask(friendly, method="OPTIONS", **{"access_control_request_method": "POST", **question})
        assert (refused.status, refused.code) == (403, "cross_site")
    endless = ask(friendly, method="OPTIONS", **site, access_control_request_method="POST", content_length="99999")
    assert endless.headers["connection"] == "close"


@pytest.mark.parametrize("origin", ["https://x/", "x", "*", "https://X.example", "null", "https://x.example/path"])
def test_sites_that_would_never_match(origin: str) -> None:
    with pytest.raises(BadConfig, match="expected one such as https"):
        gate(origins=(origin,))


def test_the_app_cannot_talk_over_a_refusal() -> None:
    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await echo(scope, receive, send)
        finally:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"all is well"})

    found = ask(gate(stubborn, Limits(body_bytes=3)), pieces=[b"1234"], transfer_encoding="chunked")
    assert (found.status, found.code) == (413, "body_too_large")


def test_the_deadline_ends_what_takes_too_long() -> None:
    ended = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append(scope["path"])
            raise

    found = ask(gate(endless, Limits(upload_seconds=0.1, deadline=0.2)))
    assert (found.status, found.code, ended) == (504, "deadline", ["/open"])
    assert found.seconds < 2


def test_a_stream_may_outlive_the_deadline_and_is_ended_with_the_server() -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.4)
        await send({"type": "http.response.body", "body": b"still there", "more_body": True})
        await asyncio.sleep(30)

    async def stop_after(app: Gate, seconds: float) -> None:
        await asyncio.sleep(seconds)
        app.end_streams()

    async def both() -> Answer:
        app = gate(stream, Limits(upload_seconds=0.1, deadline=0.2))
        answer, _ = await asyncio.gather(ask_async(app, "/stream", "GET", (), {}), stop_after(app, 0.6))
        return answer

    found = asyncio.run(both())
    assert found.body == b"still there" and found.seconds < 5


def test_the_work_of_a_client_that_left_is_cancelled() -> None:
    seen: list[str] = []

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append("begun")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    found = ask(gate(work), pieces=[b"", 0.1, None])
    assert seen == ["begun", "cancelled"] and found.status == 0 and found.seconds < 5
    # In the middle of its body, as well.
    assert ask(gate(), pieces=[b"12", None], content_length="8").status == 0


def together(app: ASGIApp, *paths: str, later: Callable[[], Awaitable[None]]) -> list[Answer]:
    async def run() -> list[Answer]:
        tasks = [asyncio.ensure_future(ask_async(app, path, "GET", (), {})) for path in paths]
        await later()
        return list(await asyncio.gather(*tasks))

    return asyncio.run(run())


def test_as_many_requests_as_are_allowed_and_health_besides() -> None:
    go: list[asyncio.Event] = []

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in ("/healthz", "/readyz"):
            go.append(asyncio.Event())
            await go[-1].wait()
        await echo(scope, receive, send)

    async def release() -> None:
        await asyncio.sleep(0.1)
        for each in go:
            each.set()

    app = gate(wait, Limits(requests=2, streams=1))
    paths = ("/open", "/open", "/open", "/stream", "/stream", "/healthz", "/readyz")
    found = together(app, *paths, later=release)
    assert [each.status for each in found] == [200, 200, 503, 200, 503, 200, 200]
    assert found[2].code == "busy" and found[2].headers["retry-after"] == "1"
    assert ask(gate(echo, Limits(requests=2))).status == 200, "room is given back"


def test_a_mistake_of_the_app_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the password is swordfish")

    found = ask(gate(broken))
    assert (found.status, found.code) == (500, "internal")
    assert b"swordfish" not in found.body and "swordfish" in caplog.text


def test_websockets_are_closed() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(gate()({"type": "websocket", "path": "/open", "headers": []}, receive, send))
    assert [each["type"] for each in sent] == ["websocket.close"]


def test_what_was_answered_is_counted() -> None:
    app = gate()
    ask(app)
    ask(app, "/etc")
    text = app.meters.text().decode()
    assert 'showtell_requests_total{route="page",status="200"} 1.0' in text
    assert 'showtell_requests_total{route="page",status="404"} 1.0' in text
    assert 'showtell_refused_total{code="not_found"} 1.0' in text
