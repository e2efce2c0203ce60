import asyncio
import base64

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.serve.asking import Answer, admission, ask, ask_async, echo

from showtell.errors import BadConfig
from showtell.serve.admission import host_names
from showtell.serve.limits import Limits

BEARER = {"authorization": "Bearer sesame"}


def test_a_good_request_passes_with_safe_headers() -> None:
    answer = ask(admission(), pieces=[b"12345", b"678"], content_length="8")
    assert (answer.status, answer.body, answer.complete) == (200, b"8", True)
    assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in answer.headers and "connection" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "status", "code"),
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
def test_who_is_turned_away(asked: dict[str, str], status: int, code: str) -> None:
    called = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)

    answer = ask(admission(app, allowed_hosts=host_names("127.0.0.1", ())), **asked)  # type: ignore[arg-type]
    assert (answer.status, answer.code, answer.complete, called) == (status, code, True, [])
    assert answer.headers["x-content-type-options"] == "nosniff", "refusals have the safe headers, too"


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
def test_names_of_this_machine(host: str) -> None:
    assert ask(admission(allowed_hosts=host_names("127.0.0.1", ())), host=host, origin=f"http://{host}").status == 200


def test_behind_a_proxy() -> None:
    site = {"origin": "https://captions.example", "host": "backend:7860"}
    assert ask(admission(), **site).status == 403
    assert ask(admission(), **site, x_forwarded_host="captions.example").status == 200
    assert ask(admission(), **site, sec_fetch_site="same-origin").status == 200
    assert ask(admission(), **site, sec_fetch_site="same-site").status == 403


def test_a_server_on_a_network_goes_by_any_name_or_by_those_given() -> None:
    assert host_names("0.0.0.0", ()) == ()
    assert ask(admission(allowed_hosts=()), host="captions.example").status == 200
    named = admission(allowed_hosts=host_names("127.0.0.1", ("Captions.Example",)))
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
    locked = admission(api_key="sesame")
    answer = ask(locked, **headers)  # type: ignore[arg-type]
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
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
    assert ask(admission(api_key="sesame"), **headers).status == 200  # type: ignore[arg-type]


def test_other_sites_only_when_asked_for() -> None:
    site = {"origin": "https://good.example"}
    friendly = admission(allowed_origins=("https://good.example",), api_key="sesame")
    answer = ask(friendly, **site, **BEARER)
    assert answer.headers["access-control-allow-origin"] == "https://good.example"
    # Before a browser sends the key it asks, without the key, whether it may.
    asked = ask(friendly, method="OPTIONS", **site, access_control_request_method="POST")
    assert asked.status == 200 and asked.headers["access-control-allow-origin"] == "https://good.example"
    # A script has to be able to read why it was turned away.
    assert ask(friendly, **site).headers["access-control-allow-origin"] == "https://good.example"
    evil = ask(friendly, **BEARER, origin="https://evil.example")
    assert evil.status == 403 and "access-control-allow-origin" not in evil.headers
    assert ask(admission(), method="OPTIONS", **site, access_control_request_method="POST").status == 403
    for question in ({"origin": "https://evil.example"}, {**site, "access_control_request_method": "PUT"}):
        refused = ask(friendly, method="OPTIONS", **{"access_control_request_method": "POST", **question})
        assert (refused.status, refused.code) == (403, "cross_site")
    endless = ask(friendly, method="OPTIONS", **site, access_control_request_method="POST", content_length="99999")
    assert endless.headers["connection"] == "close"


@pytest.mark.parametrize("origin", ["https://x/", "x", "*", "https://X.example", "null", "https://x.example/path"])
def test_sites_that_would_never_match(origin: str) -> None:
    for option in ("allowed_origins", "frame_ancestors"):
        with pytest.raises(BadConfig, match="expected one such as https"):
            admission(**{option: (origin,)})


def test_the_app_cannot_talk_over_a_refusal() -> None:
    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await echo(scope, receive, send)
        finally:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"all is well"})

    answer = ask(admission(stubborn, Limits(body_bytes=3)), pieces=[b"1234"], transfer_encoding="chunked")
    assert (answer.status, answer.code) == (413, "body_too_large")


def test_the_deadline_ends_what_takes_too_long() -> None:
    ended = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append(scope["path"])
            raise

    answer = ask(admission(endless, Limits(body_timeout=0.1, request_timeout=0.2)))
    assert (answer.status, answer.code, ended) == (504, "deadline", ["/open"])


def test_the_work_of_a_client_that_left_is_cancelled() -> None:
    seen: list[str] = []

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append("begun")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    answer = ask(admission(work), pieces=[b"", 0.1, None])
    assert seen == ["begun", "cancelled"] and answer.status == 0
    # In the middle of its body, as well.
    assert ask(admission(), pieces=[b"12", None], content_length="8").status == 0


def test_as_many_requests_as_are_allowed_and_health_besides() -> None:
    go = asyncio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in ("/healthz", "/readyz"):
            await go.wait()
        await echo(scope, receive, send)

    async def ask_together() -> list[Answer]:
        app = admission(wait, Limits(concurrent_requests=2))
        paths = ("/open", "/open", "/open", "/healthz", "/readyz")
        asked = [asyncio.ensure_future(ask_async(app, path, "GET", (), {})) for path in paths]
        await asyncio.wait(asked[2:])  # these are answered while the first two wait
        go.set()
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(ask_together())
    assert [answer.status for answer in answers] == [200, 200, 503, 200, 200]
    assert answers[2].code == "busy" and answers[2].headers["retry-after"] == "1"


def test_a_slot_is_given_back() -> None:
    app = admission(limits=Limits(concurrent_requests=1))
    assert [ask(app).status for _ in range(3)] == [200] * 3


def test_a_mistake_of_the_app_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the password is swordfish")

    answer = ask(admission(broken))
    assert (answer.status, answer.code) == (500, "internal")
    assert b"swordfish" not in answer.body and "swordfish" in caplog.text


def test_websockets_are_closed() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(admission()({"type": "websocket", "path": "/open", "headers": []}, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_what_was_answered_is_counted() -> None:
    app = admission()
    ask(app)
    ask(app, "/etc")
    text = app.metrics.render().decode()
    assert 'showtell_http_requests_total{route="page",status="200"} 1.0' in text
    assert 'showtell_http_requests_total{route="page",status="404"} 1.0' in text
    assert 'showtell_rejected_requests_total{code="not_found"} 1.0' in text


def test_an_admitted_request_that_failed_was_not_rejected() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(100)

    app = admission(slow)
    assert ask(app).status == 504
    text = app.metrics.render().decode()
    assert 'status="504"} 1.0' in text and "rejected_requests_total{" not in text
