"""Before any test is collected: one thread is enough for tiny networks, and rooms whose libraries are absent are left
out. And a browser, for the tests of pages, which are left out where there is none."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

# Set before torch is imported, by whichever test comes first; tests that need no torch do not pay for it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# As showtell.core does; some tests import ONNX Runtime first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "timm", "safetensors", "lightning"))
HAS_SERVER = all(importlib.util.find_spec(name) for name in ("fastapi", "gradio", "httpx", "schemathesis"))
collect_ignore = [] if HAS_TORCH else ["nets", "train", "export", "test_grid.py", "test_overfit.py"]
collect_ignore += [] if HAS_SERVER else ["serve", "cli/test_serve.py"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, driven by Playwright, which then has nothing to download."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="pages are tested with playwright (pip install playwright)"
    )
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"pages are tested in a browser; none of {', '.join(names)} is on the PATH")
    with driver.sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, as whom containers run.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        arguments.append("--use-fake-device-for-media-stream")  # a camera that shows a test picture
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()
