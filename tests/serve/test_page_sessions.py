"""Strangers at the page's queue: what they send is refused or forgotten, and nothing of it is kept or logged."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

pytest.importorskip("gradio", reason="the page needs gradio (pip install 'showtell[serve]')")
from tests.serve.page_window import Running, Scripted

from showtell.serve import page_sessions
from showtell.serve.limits import Limits
from showtell.serve.page_sessions import session_of

JOIN, DATA = "/gradio_api/queue/join", "/gradio_api/queue/data"
ASKED = {"id": 1, "example": "dog.jpg", "language": "en", "beam": 1, "num": 1, "picture": False}
BODY = {"data": [], "event_data": ASKED, "fn_index": 0, "trigger_id": 1, "session_hash": "abc123"}
BAD: list[Any] = [
    {**BODY, "session_hash": "x" * 33},
    {**BODY, "session_hash": "a b"},
    {**BODY, "session_hash": "abc\n"},
    {**BODY, "session_hash": ""},
    {**BODY, "session_hash": None},
    {**BODY, "session_hash": 3},
    {**BODY, "fn_index": 1},
    {**BODY, "fn_index": -1},
    {**BODY, "fn_index": 99},
    {**BODY, "fn_index": None},
    {**BODY, "fn_index": False},
    {**BODY, "fn_index": 0.0},
    {**BODY, "trigger_id": {"a": 1}},
    {**BODY, "trigger_id": "1"},
    {**BODY, "trigger_id": 10**30},
    {**BODY, "data": "x"},
    {**BODY, "data": [1]},
    {**BODY, "data": {}},
    {**BODY, "event_data": None},
    {**BODY, "event_data": [1]},
    {**BODY, "event_data": {"photo": {"path": "/etc/passwd"}}},
    {**BODY, "event_data": {"photo": ["a"]}},
    {**BODY, "batched": True},
    {**BODY, "simple_format": True},
    {**BODY, "event_id": "1"},
    {**BODY, "oauth_token": "t"},
    {key: value for key, value in BODY.items() if key != "session_hash"},
    {key: value for key, value in BODY.items() if key != "fn_index"},
    {key: value for key, value in BODY.items() if key != "data"},
    {},
    [],
    "x",
    3,
    None,
]


class Door:
    """A server and one client, who may look at what Gradio keeps."""

    def __init__(self, **limits: Any) -> None:
        self.captioner = Scripted()
        self.running = Running(self.captioner, Limits(**{"wait": 0, **limits}))
        self.client = httpx.Client(base_url=self.running.url, timeout=20)
        mounted = [each.app for each in self.running.site.gate.app.router.routes if hasattr(each, "app")][-1]
        self.queue, self.states = mounted.get_blocks()._queue, mounted.state_holder

    def join(self, session: str = "abc123", **question: Any) -> httpx.Response:
        return self.client.post(JOIN, json={**BODY, "session_hash": session, "event_data": {**ASKED, **question}})

    def read(self, session: str = "abc123") -> tuple[int, list[dict[str, Any]]]:
        answer = self.client.get(DATA, params={"session_hash": session})
        lines = answer.text.split("\n\n") if answer.status_code == 200 else []
        return answer.status_code, [json.loads(line.removeprefix("data: ")) for line in lines if line]

    def kept(self) -> int:
        queue = self.queue
        kept = (queue.pending_messages_per_session, queue.pending_event_ids_session, queue.event_ids_to_events)
        return sum(map(len, kept))

    def kept_after(self, seconds: float) -> int:
        """What is left, as soon as that is nothing, or then."""
        end = time.monotonic() + seconds
        while self.kept() and time.monotonic() < end:
            time.sleep(0.02)
        return self.kept()


@pytest.fixture
def open_door() -> Iterator[Callable[..., Door]]:
    with contextlib.ExitStack() as stack:

        def make(**limits: Any) -> Door:
            door = Door(**limits)
            stack.callback(door.running.stop)
            stack.callback(door.captioner.go.set)
            stack.callback(door.client.close)
            return door

        yield make


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_sessions, "GRACE", 0.3)


SHORT = {"deadline": 0.7, "upload_seconds": 0.5}

# ---- questions ----


def test_a_question_of_the_page_is_one() -> None:
    assert session_of(json.dumps(BODY).encode(), 0) == "abc123"
    assert session_of(json.dumps({**BODY, "trigger_id": None}).encode(), 0) == "abc123"


@pytest.mark.parametrize("body", BAD, ids=lambda body: json.dumps(body)[-60:])
def test_no_other_question_comes_near_the_queue(body: Any) -> None:
    assert session_of(json.dumps(body).encode(), 0) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff", b'{"a": ' * 5000, b"1" * 10_000, b"null"])
def test_no_json_at_all(body: bytes) -> None:
    assert session_of(body, 0) is None


def test_bad_requests_are_refused_in_one_shape_and_leave_nothing(
    open_door: Callable[..., Door], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    door, secret = open_door(), "do-not-echo"
    capfd.readouterr()
    answers = [door.client.post(JOIN, json=body) for body in BAD]
    answers += [door.client.post(JOIN, json={**BODY, "session_hash": secret * 1_000_000})]
    kinds = ({"content-type": "text/plain"}, {"content-type": "application/json"}, {})
    answers += [door.client.post(JOIN, content=secret.encode() * 9, headers=kind) for kind in kinds]
    assert {each.status_code for each in answers} == {400}
    assert {each.json()["error"]["code"] for each in answers} == {"bad_request"}
    unknown = [
        "/",
        "?session_hash=",
        "?session_hash=nobody",
        "?session_hash=%ff",
        "?session_hash=a&session_hash=b",
        "?a",
    ]
    found = [door.client.get(DATA + each.removeprefix("/")) for each in unknown]
    assert [each.status_code for each in found] == [404] * len(found)
    assert found[0].json()["error"]["code"] == "not_found"
    assert not any(secret in each.text for each in (*answers, *found))
    assert door.kept() == 0
    # Well formed, but odd all the same: answered by the page, with plain sentences.
    odd = {"language": "\ud800", "id": 10**40}
    door.client.post(JOIN, content=json.dumps({**BODY, "event_data": {**ASKED, **odd}}))
    assert door.read()[1][-2]["output"]["data"][0]["error"]["code"] == "bad_request"
    headers = {"x-forwarded-host": "[", "x-forwarded-proto": "\x7f", "cookie": "=;", "content-type": "text/plain"}
    assert door.client.post(f"{JOIN}?__theme=%ff", json=BODY, headers=headers).status_code == 200
    assert door.read()[1][-1]["msg"] == "close_stream"
    captured = capfd.readouterr()
    assert (captured.out, captured.err, caplog.text) == ("", "", "")


def test_a_body_that_would_unfold_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({**BODY, "event_data": {**ASKED, "photo": "A" * 1000}}).encode()
    assert session_of(body, 0) == "abc123"
    monkeypatch.setattr("json.loads", lambda text: pytest.fail("it was parsed"))
    assert session_of(body.replace(b"[]", b"[" + b"[]," * 100_000 + b"[]]"), 0) is None


# ---- what is kept ----


def test_a_page_that_got_its_answers_leaves_nothing(open_door: Callable[..., Door]) -> None:
    door = open_door()
    number = door.join().json()["event_id"]
    status, messages = door.read()
    assert status == 200 and messages[-1]["msg"] == "close_stream"
    assert (messages[-2]["msg"], messages[-2]["event_id"]) == ("process_completed", number)
    assert messages[-2]["output"]["data"][0]["captions"][0]["text"] == "two dogs run"
    assert door.kept_after(5) == 0
    assert door.read()[0] == 404  # at once, and not a stream that waits for nothing


@pytest.mark.usefixtures("impatient")
def test_answers_that_nobody_fetches_are_forgotten(open_door: Callable[..., Door]) -> None:
    door = open_door(**SHORT)
    for number in range(20):
        assert door.join(f"s{number}", picture=True).status_code == 200
    assert door.kept() > 0
    assert door.kept_after(5) == 0


def test_gradio_does_not_keep_the_last_answers_of_all_pages(open_door: Callable[..., Door]) -> None:
    door = open_door()
    for number in range(5):
        door.join(f"s{number}", picture=True)
        assert door.read(f"s{number}")[0] == 200
    assert len(door.states.session_data) <= 1 and len(door.states.time_last_used) <= 1


def test_one_session_holds_few_answers(open_door: Callable[..., Door]) -> None:
    door = open_door()
    found = [door.join().status_code for _ in range(page_sessions.EVENTS + 3)]
    assert found == [200] * page_sessions.EVENTS + [503] * 3
    messages = door.read()[1]
    assert sum(each["msg"] == "process_completed" for each in messages) == page_sessions.EVENTS
    assert door.join().status_code == 200


def test_sessions_that_fetch_nothing_make_place_for_others(open_door: Callable[..., Door]) -> None:
    door = open_door(streams=4)
    for number in range(12):
        assert door.join(f"s{number}").status_code == 200
        assert len(door.queue.pending_event_ids_session) <= 4
    assert [door.read(f"s{number}")[0] for number in (7, 8, 11)] == [404, 200, 200]


# ---- streams ----


def test_a_session_has_one_stream_and_a_new_one_ends_the_old(
    open_door: Callable[..., Door], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    door = open_door()
    door.captioner.go.clear()
    door.join()
    asked = {"params": {"session_hash": "abc123"}}
    with door.client.stream("GET", DATA, **asked) as older, door.client.stream("GET", DATA, **asked) as newer:
        assert "close_stream" not in older.read().decode()  # it ended, and told nothing of the end
        door.captioner.go.set()
        assert "two dogs run" in newer.read().decode()
    assert door.kept_after(5) == 0
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


def test_a_page_that_leaves_is_forgotten_at_once_and_without_a_word(
    open_door: Callable[..., Door], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    door = open_door()
    door.captioner.go.clear()
    door.join()
    with httpx.Client(base_url=door.running.url) as other, other.stream("GET", DATA, params={"session_hash": "abc123"}):
        pass
    end = time.monotonic() + 5
    while door.queue.pending_event_ids_session and time.monotonic() < end:
        time.sleep(0.02)
    assert not door.queue.pending_event_ids_session
    door.captioner.go.set()
    assert door.kept_after(5) == 0
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


@pytest.mark.usefixtures("impatient")
def test_no_stream_outlives_the_deadline(open_door: Callable[..., Door], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_sessions, "_HEARTBEAT", 0.1)
    door = open_door(**SHORT)
    monkeypatch.setattr(door.queue, "get_events", lambda: None)  # Gradio's workers do nothing
    door.join()
    begin = time.monotonic()
    status, messages = door.read()
    kinds = [each["msg"] for each in messages]
    assert status == 200 and 0.9 < time.monotonic() - begin < 4
    assert kinds.count("heartbeat") >= 3 and kinds[-2:] == ["unexpected_error", "close_stream"]
    assert door.kept_after(2) == 0
