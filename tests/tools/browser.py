"""A real browser, and the page of a store in it.

The browser is the system's Chromium (Debian's package `chromium`); the extra `browser` drives it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.tools.children import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page

    from tests.tools.serving import Server

__all__ = [
    "LIMIT",
    "address",
    "axe",
    "chromium",
    "opened_page",
    "running_browser",
    "why_no_browser",
]

LIMIT = 60_000  # milliseconds that a test waits for the page, on however slow a machine
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """Return the path of the system's browser."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def why_no_browser() -> str | None:
    """Return why there is no browser here, or None if there is one."""
    if chromium() is None:
        return "there is no Chromium: apt-get install chromium"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "the extra browser is not installed"
    return None


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser without a window."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=LIMIT)
    with sync_playwright() as driver:
        # The memory that containers share is often too small for Chromium.
        arguments = ["--disable-dev-shm-usage"]
        browser = driver.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def address(server: Server) -> str:
    """Return the address of the page."""
    return f"http://{server.host}:{server.port}/"


@contextmanager
def opened_page(browser: Browser, server: Server, **options: Any) -> Iterator[Page]:
    """Open an empty tab that has the token. At the end nothing in it may have gone wrong.

    Options are those of a context: `color_scheme`, `viewport` and others.
    """
    surroundings = {"viewport": {"width": 1300, "height": 900}, "timezone_id": "Europe/Berlin"}
    context = browser.new_context(**{**surroundings, **options})
    context.set_default_timeout(LIMIT)
    wrong: list[str] = []
    page = context.new_page()

    def refuse(dialog: Dialog) -> None:
        wrong.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", refuse)
    page.on("console", lambda said: wrong.extend([said.text] if _is_wrong(said) else []))
    try:
        context.request.get(server.link)  # the cookie
        yield page
    finally:
        context.close()
    assert not wrong, wrong


def _is_wrong(said: Any) -> bool:
    """Whether it is more than an answer of the server that is an error."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


def axe() -> str | None:
    """Return the source of axe-core: from $AXE_CORE, or as npm installs it in the clone."""
    given = os.environ.get("AXE_CORE")
    path = Path(given) if given else ROOT / "node_modules" / "axe-core" / "axe.min.js"
    return path.read_text(encoding="utf-8") if path.is_file() else None
