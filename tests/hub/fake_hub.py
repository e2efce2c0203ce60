"""A hub on localhost with one repository: the routes of huggingface.co that a download asks for, and its headers.

/api/models/ID[/revision/REV]      commit, files, sizes and hashes
/ID/resolve/COMMIT/FILE            small files; large ones are redirected to
/cdn/FILE                          with Range
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

ID = "people/captioner"
COMMIT, OLD_COMMIT = "a" * 40, "b" * 40


@dataclass
class Repository:
    files: dict[str, bytes]
    """Of the latest commit."""
    old_files: dict[str, bytes] = field(default_factory=dict)
    """Of the commit that the tag v1 names."""
    token: str | None = None
    """Who does not send it gets `refusal`."""
    refusal: tuple[int, str] = (401, "GatedRepo")
    broken: dict[str, list[int]] = field(default_factory=dict)
    """After how many bytes the next responses with a file end."""
    lies: dict[str, str] = field(default_factory=dict)
    """Hashes that are not those of the files."""
    absent: set[str] = field(default_factory=set)
    """Listed and not there."""
    pull_requests: list[str] = field(default_factory=list)
    """The titles of the open ones, numbered from 1."""
    status: int | None = None
    """What everything answers, if anything."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path, Range."""
    endpoint: str = ""

    @property
    def cdn(self) -> str:
        """Another host: the client does not follow redirects to its own when it only asks for headers."""
        return self.endpoint.replace("127.0.0.1", "localhost")

    def at(self, revision: str) -> dict[str, bytes] | None:
        found = {"main": self.files, COMMIT: self.files, "v1": self.old_files, OLD_COMMIT: self.old_files}
        return found.get(revision)


def use(repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make huggingface_hub ask this hub, without waiting before it tries again, and without a login."""
    monkeypatch.setattr(constants, "ENDPOINT", repository.endpoint)
    template = f"{repository.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    fast = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
    monkeypatch.setattr("huggingface_hub.file_download.time", fast)
    monkeypatch.setattr("huggingface_hub.utils._http.time", fast)


@contextlib.contextmanager
def serving(repository: Repository) -> Iterator[Repository]:
    handler = type("Handler", (_Handler,), {"repository": repository})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    repository.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield repository
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    repository: Repository

    def log_message(self, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        repository, path = self.repository, unquote(urlsplit(self.path).path)
        repository.requests.append((self.command, path, self.headers.get("Range")))
        if repository.status is not None:
            return self.refuse(repository.status)
        if path.startswith("/cdn/"):
            commit, _, name = path.removeprefix("/cdn/").partition("/")
            return self.send(name, (repository.at(commit) or {})[name])
        if repository.token is not None and self.headers.get("Authorization") != f"Bearer {repository.token}":
            return self.refuse(*repository.refusal)
        if path == f"/api/models/{ID}/discussions":
            return self.discuss()
        if path.startswith(f"/api/models/{ID}"):
            return self.describe(path.removeprefix(f"/api/models/{ID}").removeprefix("/revision/") or "main")
        if path.startswith(f"/{ID}/resolve/"):
            return self.resolve(*path.removeprefix(f"/{ID}/resolve/").split("/", 1))
        return self.refuse(401, "RepoNotFound")

    def describe(self, revision: str) -> None:
        files = self.repository.at(revision)
        if files is None:
            return self.refuse(404, "RevisionNotFound")
        commit = OLD_COMMIT if revision in ("v1", OLD_COMMIT) else COMMIT
        siblings = [self.sibling(name, content) for name, content in files.items()]
        body = json.dumps({"id": ID, "sha": commit, "private": False, "siblings": siblings}).encode()
        self.answer(200, {"Content-Type": "application/json"}, body)

    def discuss(self) -> None:
        opened = [
            {
                "num": number,
                "title": title,
                "status": "open",
                "isPullRequest": True,
                "author": {"name": "SFconvertbot"},
                "createdAt": "2023-03-01T00:00:00.000Z",
                "repo": {"name": ID, "type": "model"},
            }
            for number, title in enumerate(self.repository.pull_requests, start=1)
        ]
        body = json.dumps({"discussions": opened, "count": len(opened), "start": 0}).encode()
        self.answer(200, {"Content-Type": "application/json"}, body)

    def sibling(self, name: str, content: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": _git_hash(content)}
        if _is_large(name):
            digest = self.repository.lies.get(name, hashlib.sha256(content).hexdigest())
            found["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
        elif name in self.repository.lies:
            found["blobId"] = self.repository.lies[name]
        return found

    def resolve(self, commit: str, name: str) -> None:
        files = self.repository.at(commit)
        if files is None or name not in files or name in self.repository.absent:
            return self.refuse(404, "EntryNotFound")
        content, headers = files[name], {"X-Repo-Commit": commit}
        if _is_large(name):
            digest = hashlib.sha256(content).hexdigest()
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            return self.answer(302, {**headers, "Location": f"{self.repository.cdn}/cdn/{commit}/{name}"}, b"")
        return self.send(name, content, {**headers, "ETag": f'"{_git_hash(content)}"'})

    def send(self, name: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        begin = 0
        if span := self.headers.get("Range"):
            begin = int(span.removeprefix("bytes=").partition("-")[0])
            headers = {**(headers or {}), "Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
        rest = content[begin:]
        breaks = self.repository.broken.get(name)
        end = breaks.pop(0) if breaks and self.command == "GET" else len(rest)
        self.answer(206 if begin else 200, {**(headers or {}), "Content-Length": str(len(rest))}, rest[:end])

    def refuse(self, status: int, code: str = "") -> None:
        self.answer(status, {"X-Error-Code": code, "X-Error-Message": "no"}, b"")

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
