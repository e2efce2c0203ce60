"""The command that adds an extra, by how showtell was installed: real metadata folders on the import path."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from showtell import install
from showtell.errors import MissingExtra
from showtell.install import install_hint

Install = Callable[[object], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes showtell's metadata as pip writes them, with that `direct_url.json`; None for an index."""

    def write(direct_url: object) -> None:
        folder = tmp_path / "site" / "showtell-9.9.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: showtell\nVersion: 9.9\n")
        if direct_url is not None:
            text = direct_url if isinstance(direct_url, str) else json.dumps(direct_url)
            (folder / "direct_url.json").write_text(text)
        monkeypatch.syspath_prepend(tmp_path / "site")

    set_interpreter(tmp_path / "bin", monkeypatch, pip=True)
    return write


def set_interpreter(folder: Path, monkeypatch: pytest.MonkeyPatch, pip: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    if pip:
        (folder / "pip").write_text("#!/bin/sh\n")
        (folder / "pip").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))


def test_from_an_index(installed: Install) -> None:
    installed(None)
    assert str(MissingExtra("uvicorn", "serve")) == (
        "this needs uvicorn, which is not installed; run: pip install 'showtell[serve]'"
    )


@pytest.mark.parametrize("dir_info", [{}, {"editable": True}])
def test_from_the_current_folder(
    installed: Install, dir_info: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    installed({"url": clone.as_uri(), "dir_info": dir_info})
    monkeypatch.chdir(clone)
    assert install_hint("serve") == "run: pip install '.[serve]'"
    (tmp_path / "link").symlink_to(clone)
    monkeypatch.chdir(tmp_path / "link")
    assert install_hint("serve") == "run: pip install '.[serve]'"


@pytest.mark.parametrize("name", ["clone", "my clone", "it's a clone", "Klön"])
def test_from_another_folder(installed: Install, name: str, tmp_path: Path) -> None:
    clone = tmp_path / name
    clone.mkdir()
    installed({"url": clone.as_uri(), "dir_info": {}})
    hint = install_hint("serve")
    assert shlex.split(hint) == ["run:", "pip", "install", f"{clone}[serve]"]
    if name == "my clone":
        assert hint == f"run: pip install '{clone}[serve]'"


def test_from_a_wheel_on_disk(installed: Install, tmp_path: Path) -> None:
    wheel = tmp_path / "showtell-9.9-py3-none-any.whl"
    wheel.touch()
    installed({"url": wheel.as_uri(), "archive_info": {}})
    assert install_hint("train") == f"run: pip install '{wheel}[train]'"


def test_from_a_folder_that_is_gone(installed: Install, tmp_path: Path) -> None:
    installed({"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    assert install_hint("serve") == "run in a clone of showtell: pip install '.[serve]'"


@pytest.mark.parametrize(
    ("direct_url", "requirement"),
    [
        (
            {"url": "https://example.org/showtell.git", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}},
            "showtell[serve] @ git+https://example.org/showtell.git",
        ),
        (
            {
                "url": "https://example.org/all.git",
                "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "0a1b"},
                "subdirectory": "py",
            },
            "showtell[serve] @ git+https://example.org/all.git@v1#subdirectory=py",
        ),
        (
            {"url": "https://example.org/showtell-9.9.tar.gz", "archive_info": {}},
            "showtell[serve] @ https://example.org/showtell-9.9.tar.gz",
        ),
    ],
)
def test_from_a_url(installed: Install, direct_url: dict[str, object], requirement: str) -> None:
    installed(direct_url)
    assert install_hint("serve") == f"run: pip install '{requirement}'"


@pytest.mark.parametrize("broken", ["{", "[]", "{}"])
def test_a_broken_record_is_an_index(installed: Install, broken: str) -> None:
    installed(broken)
    assert install_hint("serve") == "run: pip install 'showtell[serve]'"


def test_a_source_tree_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_interpreter(tmp_path / "bin", monkeypatch, pip=True)
    monkeypatch.setattr(sys, "path", [])
    root = Path(install.__file__).parents[2]
    monkeypatch.chdir(root)
    assert install_hint("serve") == "run: pip install '.[serve]'"


def test_pip_is_the_one_of_this_interpreter(
    installed: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started as `.venv/bin/showtell`, without activating: `pip` on the path belongs to another Python, or to none."""
    installed(None)
    set_interpreter(tmp_path / "my project" / ".venv" / "bin", monkeypatch, pip=False)
    python = tmp_path / "my project" / ".venv" / "bin" / "python"
    assert install_hint("serve") == f"run: '{python}' -m pip install 'showtell[serve]'"
    monkeypatch.chdir(tmp_path / "my project")
    assert install_hint("serve") == "run: .venv/bin/python -m pip install 'showtell[serve]'"
    monkeypatch.setenv("PATH", "")
    assert install_hint("serve") == "run: .venv/bin/python -m pip install 'showtell[serve]'"


def test_on_windows_double_quotes(installed: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(None)
    monkeypatch.setattr(install, "os", type("Windows", (), {"name": "nt"}))
    assert install_hint("serve") == 'run: pip install "showtell[serve]"'


def test_in_a_folder_that_was_deleted(installed: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(None)
    folder = tmp_path / "deleted"
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError):
        os.getcwd()  # noqa: PTH109
    assert install_hint("serve") == "run: pip install 'showtell[serve]'"
