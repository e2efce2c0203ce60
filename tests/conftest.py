"""For all tests: threads, hypothesis' profiles, what is not collected where packages are missing, and a browser."""

import functools
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests import skips
from tests.skips import pytest_sessionfinish, pytest_terminal_summary, pytest_testnodedown  # noqa: F401 (hooks)

# Set before torch is imported, by whichever test comes first; tests that need no torch do not pay for it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# As showtell.core does; some tests import ONNX Runtime first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Chosen by HYPOTHESIS_PROFILE or --hypothesis-profile. Nothing here depends on how fast the machine is.
settings.register_profile(
    "default", max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("default"), max_examples=5000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "timm", "safetensors", "lightning_fabric"))
HAS_SERVER = all(importlib.util.find_spec(name) for name in ("fastapi", "httpx", "schemathesis"))
UNCOLLECTED = [] if HAS_TORCH else ["nets", "train", "export", "test_grid.py", "test_overfit.py"]
UNCOLLECTED += [] if HAS_TORCH and importlib.util.find_spec("transformers") else ["hub"]
UNCOLLECTED += [] if HAS_SERVER else ["serve", "cli/test_serve.py"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Not `collect_ignore`, which would leave them out silently."""
    folder = Path(__file__).parent
    name = collection_path.relative_to(folder).as_posix() if collection_path.is_relative_to(folder) else ""
    if name not in UNCOLLECTED:
        return None
    config.stash.setdefault(skips.IGNORED, set()).add(name)
    return True


LONGEST = (
    "test_chain.py",
    "test_every_script.py",
    "test_overfit.py",
    "test_encoders.py",
    "test_ensemble.py",
    "test_loop.py",
    "test_grid.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first: begun last, one of them would keep one core busy while the others are idle."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def sleeping_threads() -> Iterator[None]:
    """ONNX Runtime's threads sleep when there is nothing to do; elsewhere they look for work without pause, on cores
    that the other workers of pytest-xdist need. A caption takes less than half of the processor's time. Figures are the
    same."""
    import onnxruntime

    class Sleeping(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.add_session_config_entry("session.intra_op.allow_spinning", "0")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "SessionOptions", Sleeping)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_registry() -> Iterator[None]:
    """`torch.onnx.export` makes its table of all operators anew for every graph: a second for each model that is
    exported. It only reads the table."""
    if "torch" not in sys.modules:
        yield
        return
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope="session")
def browser_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one browser for the whole run: the system's Chromium, started by Playwright with its own flags.

    Rejected: one `sync_playwright` for the run. While it is open, its event loop is the one that runs in the main
    thread, so that tests with `asyncio.run` would fail.
    """
    pytest.importorskip("playwright.sync_api", reason=skips.PACKAGES)
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(skips.CHROMIUM)
    # Chromium refuses its sandbox to root, as whom containers run. Without a graphics card it would emulate one, which
    # costs more than to draw without. Its camera shows a test picture.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    arguments += ["--disable-gpu", "--use-fake-device-for-media-stream"]
    options = {"executablePath": program, "args": arguments}
    config = tmp_path_factory.mktemp("browser") / "launch.json"
    config.write_text(json.dumps(options))
    command = [sys.executable, "-m", "playwright", "launch-server", "--browser", "chromium", "--config", str(config)]
    # A group of its own: the command starts a second process, which is told to end as well.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("ws://"), f"found {address!r}; expected the address of a browser"
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()


@pytest.fixture(scope="module")
def browser(browser_server: str) -> Iterator[Any]:
    """A connection to the browser, for the tests of one file."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.connect(browser_server)


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files of at most 3,000 bytes: the system then refuses a write in the middle, as a full disk does."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
