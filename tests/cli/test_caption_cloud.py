"""`showtell caption s3://...` as a user runs it: rows, messages and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.in_process import showtell
from tests.remote.object_server import object_server
from tests.skips import PACKAGES

pytest.importorskip("s3fs", reason=PACKAGES)
pytest.importorskip("moto", reason=PACKAGES)

from showtell.remote import client

EXAMPLES = Path(__file__).parents[2] / "examples"


def rows(path: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_a_bucket_has_the_captions_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "_filesystems", {})
    with object_server() as server:
        for name in ("band.jpg", "dog.jpg"):
            server.put(f"photos/{name}", (EXAMPLES / name).read_bytes())
        command = ["caption", "s3://bucket/photos/", "s3://bucket/gone.jpg", "--output", "rows.jsonl"]
        environment = server.environment()
        done = showtell(*command, **environment)
        assert (done.returncode, done.stderr) == (
            1,
            "showtell: s3://bucket/gone.jpg: missing: no such object\nshowtell: 2 captioned, 1 failed\n",
        )
        local = showtell("caption", EXAMPLES / "band.jpg", EXAMPLES / "dog.jpg", "--output", "local.jsonl")
        assert local.returncode == 0
        expected = [
            {**row, "image": f"s3://bucket/photos/{Path(str(row['image'])).name}"} for row in rows("local.jsonl")
        ]
        assert rows("rows.jsonl")[:2] == expected
        server.put("gone.jpg", (EXAMPLES / "dog.jpg").read_bytes())
        again = showtell(*command, "--retry-failed", **environment)
        assert (again.returncode, again.stderr) == (0, "showtell: 3 captioned, 0 failed\n")
        assert rows("rows.jsonl")[2]["caption"] == expected[1]["caption"]
        server.faults.reset(refusal="ExpiredToken")
        ended = showtell("caption", "s3://bucket/photos/", "--output", "ended.jsonl", **environment)
        assert ended.returncode == 2 and ended.stdout == ""
        assert ended.stderr.splitlines()[-1].startswith("showtell: s3://bucket: found credentials that were refused")
