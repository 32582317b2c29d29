"""A real browser, and the page of a store in it.

The browser is the system's Chromium (Debian's package `chromium`); the extra `browser` drives it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.tools.children import ROOT
from tests.tools.commands import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page

__all__ = [
    "LIMIT",
    "Server",
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


class Server:
    """The command `serve` of a store, in a process of its own."""

    def __init__(self, store: Path) -> None:
        """Serve a store."""
        self.store = store
        self.start()

    def start(self, port: int = 0) -> None:
        """Start, at any free port or at a given one."""
        command = [sys.executable, "-m", "lmdbstore", "serve", "--db", self.store]
        self.process = subprocess.Popen(
            [*map(str, command), "--port", str(port)],
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        found = re.search(r"http\S+", self.process.stdout.readline())
        assert found, "serve printed no address"
        self.first_link = found[0]
        self.address = self.first_link.partition("?")[0]

    def stop(self) -> None:
        """Stop, and wait for the end."""
        self.process.terminate()
        self.process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


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
        context.request.get(server.first_link)  # the cookie
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
