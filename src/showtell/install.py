"""The commands that add an extra to this installation of showtell, and that mend it.

`pip install 'showtell[serve]'` works only where an index has the package. How it was installed stands in
`direct_url.json` beside its metadata (PEP 610): from a folder, a file, a version control system, or, without that file,
an index.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def install_hint(extra: str = "") -> str:
    """What to do, for the end of a message: `run: pip install '.[serve]'`. Without `extra`: what captioning needs."""
    return _install_hint(f"[{extra}]" if extra else "", "")


def reinstall_hint() -> str:
    """How to get back the files of the package that were damaged or removed."""
    direct_url = _direct_url()
    source = _source(direct_url)
    if source is not None and source.exists() and _is_editable(direct_url):
        return f"run: git -C {_quoted(str(source))} checkout -- src/showtell"
    return _install_hint("", "--force-reinstall --no-deps ")


def _install_hint(extras: str, options: str) -> str:
    direct_url = _direct_url()
    source = _source(direct_url)
    if source is None:
        return f"run: {_pip_install(options, _requirement(extras, str(direct_url.get('url', '')), direct_url))}"
    if not source.exists():  # a clone that was deleted after the installation
        return f"run in a clone of showtell: {_pip_install(options, f'.{extras}')}"
    folder = _current_folder()
    here = folder is not None and source.samefile(folder)
    return f"run: {_pip_install(options, f'.{extras}' if here else f'{source}{extras}')}"


def _source(direct_url: dict[str, Any]) -> Path | None:
    """The local folder or file that was installed."""
    url = str(direct_url.get("url", ""))
    if not url.startswith("file:"):
        return None
    from urllib.request import url2pathname  # loads HTTP and TLS, for which no error should wait

    return Path(url2pathname(urlsplit(url).path))


def _is_editable(direct_url: dict[str, Any]) -> bool:
    folder = direct_url.get("dir_info")
    return isinstance(folder, dict) and bool(folder.get("editable"))


def _direct_url() -> dict[str, Any]:
    """PEP 610's record; `{}` for an installation from an index, and of the source tree where nothing is installed."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        record = json.loads(distribution("showtell").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        root = Path(__file__).parents[2]
        is_source_tree = (root / "pyproject.toml").is_file()
        return {"url": root.as_uri(), "dir_info": {"editable": True}} if is_source_tree else {}
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _requirement(extras: str, url: str, direct_url: dict[str, Any]) -> str:
    """A PEP 508 requirement for what is not a local folder or file. `extras`: with brackets, or nothing."""
    if not url:
        return f"showtell{extras}"
    vcs_info = direct_url.get("vcs_info", {})
    if vcs_info:
        revision = vcs_info.get("requested_revision")
        url = f"{vcs_info['vcs']}+{url}" + (f"@{revision}" if revision else "")
    subdirectory = direct_url.get("subdirectory")
    return f"showtell{extras} @ {url}" + (f"#subdirectory={subdirectory}" if subdirectory else "")


def _pip_install(options: str, requirement: str) -> str:
    return f"{_pip()} install {options}{_quoted(requirement)}"


def _quoted(argument: str) -> str:
    # Windows' cmd knows no single quotes; PowerShell takes both.
    return f'"{argument}"' if os.name == "nt" else shlex.quote(argument)


def _pip() -> str:
    """`pip` where the shell would find the one of this interpreter, and else `.venv/bin/python -m pip`.

    A program is often started by its path, without activating its environment; `pip` is another one's then.
    """
    python = Path(sys.executable)
    pip = shutil.which("pip")
    if pip is not None and Path(pip).parent == python.parent:
        return "pip"
    folder = _current_folder()
    if folder is not None and python.is_relative_to(folder):
        python = python.relative_to(folder)
    return f"{shlex.quote(str(python)) if os.name != 'nt' else python} -m pip"


def _current_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return None
