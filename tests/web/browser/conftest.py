"""One browser and two servers for all tests of the page: one store is still, the other moves."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.browser import address, opened_page, running_browser, why_no_browser
from tests.tools.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.tools.serving import Server

    Opener = Callable[[Browser, Server], Callable[..., Page]]

START = 1792108800.0  # 2026-10-16 00:00 UTC
STEP = 30.0  # seconds between two events
NUMBER = 1200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where there is no browser."""
    why = why_no_browser()
    if why:
        for item in items:
            if "browser/" in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=why))


def event(number: int) -> Event:
    """Make one event of the store that is still."""
    time = START + STEP * number
    if number % 40 == 20:
        text = "timeout of the backend <b>at once</b>"
        return Event(source="web", timestamp=time, tags=["error", "slow"], content=text)
    if number % 10 == 5:
        text = json.dumps({"status": 200, "user": {"id": number}, "big": 12345678901234567890})
        return Event(source="api", timestamp=time, tags=["info"], content=text)
    return Event(source="web", timestamp=time, tags=["info"], content=f"GET /login {number}")


SPECIAL = [
    Event("ansi", timestamp=START - 3, content="\x1b[31mred\x1b[0m and \x1b[1;38;5;208mbold\x1b[m"),
    Event("long", timestamp=START - 2, content="\n".join(f"line {n}" for n in range(60))),
    Event("signs", timestamp=START - 1, content="a\x00b\u202ec"),
]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Yield the browser."""
    with running_browser() as running:
        yield running


@pytest.fixture(scope="package")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield the server of a store in which nothing changes."""
    folder = tmp_path_factory.mktemp("still") / "events"
    with LMDBEventStore(folder) as store:
        store.save_many([*SPECIAL, *map(event, range(NUMBER))])
    with serving(folder) as server:
        yield server


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the place of a store in which tests save; each has sources of its own."""
    folder = tmp_path_factory.mktemp("moving") / "events"
    LMDBEventStore(folder).close()
    return folder


@pytest.fixture(scope="package")
def moving(place: Path) -> Iterator[Server]:
    """Yield the server of that store."""
    with serving(place) as server:
        yield server


@pytest.fixture
def writer(place: Path) -> Iterator[LMDBEventStore]:
    """Yield the store that moves; another process serves it."""
    with LMDBEventStore(place) as store:
        yield store


@pytest.fixture
def opener() -> Iterator[Opener]:
    """Yield a function that makes one which opens the page with a query string and options."""
    with ExitStack() as stack:

        def opener(browser: Browser, server: Server) -> Callable[..., Page]:
            def look(query: str = "", **options: Any) -> Page:
                page = stack.enter_context(opened_page(browser, server, **options))
                page.goto(f"{address(server)}{query and '?'}{query}")
                page.wait_for_selector("#list[aria-busy=false]", state="attached")
                return page

            return look

        yield opener


@pytest.fixture
def look(browser: Browser, still: Server, opener: Opener) -> Callable[..., Page]:
    """Return a function that opens the page of the store that is still."""
    return opener(browser, still)


@pytest.fixture
def look_at_moving(browser: Browser, moving: Server, opener: Opener) -> Callable[..., Page]:
    """Return a function that opens the page of the store that moves."""
    return opener(browser, moving)
