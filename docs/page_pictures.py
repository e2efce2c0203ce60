"""Draws docs/page.png and docs/page_phone.png: the page of `showtell serve`, with a word of a caption selected.

    python docs/page_pictures.py

Needs the serve extra, playwright, and Chromium (or Chrome) on the PATH.
"""

import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from showtell.core.captioner import Captioner
from showtell.serve.limits import Limits
from showtell.serve.server import Application, Server, ServerConfig

DOCS = Path(__file__).parent


def main() -> None:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        sys.exit("found no chromium, chromium-browser or google-chrome on the PATH")
    # Chromium refuses its sandbox to root, as whom containers run.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = opened(browser, address, "German shepherd", {"width": 1280, "height": 860})
        select(page, "dog")
        keep(page, "page.png")
        phone = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}
        page = opened(browser, address, "Two dogs", {"width": 390, "height": 844}, **phone)
        page.get_by_role("radio", name="العربية").check()
        page.wait_for_selector(".words[data-language=ar]")
        select(page, "كلب")
        keep(page, "page_phone.png")
        browser.close()


@contextmanager
def served() -> Iterator[str]:
    site = Application(Captioner.load(), Limits(), ServerConfig())
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(site)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        site.close(10)


def opened(browser: Browser, address: str, example: str, size: Any, **options: Any) -> Page:
    page = browser.new_context(viewport=size, reduced_motion="reduce", **options).new_page()
    page.goto(address)
    page.get_by_role("button", name=example).click()
    page.wait_for_selector(".result[aria-busy=false] .word")
    return page


def select(page: Page, word: str) -> None:
    page.wait_for_selector(".result[aria-busy=false] .word")
    page.locator(".word", has_text=word).first.click()
    page.mouse.move(1, 1)
    page.wait_for_selector(".attention[data-shown=true]")


def keep(page: Page, name: str) -> None:
    """256 colours take a third of the bytes; mixed from dots, for else a map would be in steps."""
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=DOCS / name)
    with Image.open(DOCS / name) as picture:
        true = picture.convert("RGB")
        palette = true.quantize(256, kmeans=2)
        true.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(DOCS / name, optimize=True)
    print(f"{name}: {(DOCS / name).stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
