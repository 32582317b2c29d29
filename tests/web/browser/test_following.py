"""Following on the page, while another process writes what the server's process reads."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route

expect = pytest.importorskip("playwright.sync_api").expect

ROWS = "#list .row"
FIRST = f"{ROWS} >> nth=0 >> .content"


def save(writer: LMDBEventStore, source: str, *contents: str) -> None:
    writer.save_many(Event(source=source, content=content) for content in contents)


def test_what_is_saved_appears_at_the_top(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    save(writer, "live", "before")
    page = look_at_moving("source=live")
    page.click("#live")
    expect(page.locator("#live")).to_have_attribute("aria-pressed", "true")
    assert "live=1" in page.url
    save(writer, "live", "first", "second")
    save(writer, "another source", "not here")
    expect(page.locator(f"{ROWS} .content")).to_have_text(["second", "first", "before"])
    page.keyboard.press("p")
    save(writer, "live", "third")
    expect(page.locator("#waiting")).to_have_text("↑ 1 new event")
    expect(page.locator(FIRST)).to_have_text("second")
    page.click("#waiting")
    expect(page.locator(FIRST)).to_have_text("third")
    expect(page.locator("#waiting")).to_be_hidden()
    page.click("#live")
    expect(page.locator("#pause")).to_be_hidden()
    expect(page.locator(ROWS)).to_have_count(4)


def test_reading_further_down_holds_the_rows(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    save(writer, "reading", *map(str, range(100)))
    page = look_at_moving("source=reading&live=1")
    page.evaluate("window.scrollTo(0, 1500)")
    expect(page.locator("#waiting")).to_be_hidden()
    page.wait_for_selector("body.holds")  # the page has noticed
    save(writer, "reading", "while reading")
    expect(page.locator("#waiting")).to_have_text("↑ 1 new event")
    page.evaluate("window.scrollTo(0, 0)")
    expect(page.locator(FIRST)).to_have_text("while reading")


def test_a_thousand_events_a_second_are_no_load(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    """The page stays small, answers, counts them all, and says how many it left out."""
    page = look_at_moving("source=fast&live=1")
    begin, saved = time.monotonic(), 0
    while saved < 3000:
        due = min(3000, int(1000 * (time.monotonic() - begin))) - saved
        save(writer, "fast", *(f"number {saved + n}" for n in range(due)))
        saved += due
        page.wait_for_timeout(30)
        assert page.locator("#list *").count() < 8000
    expect(page.locator(FIRST)).to_have_text("number 2999")
    expect(page.locator("#came")).to_have_text("3,000 new")
    assert page.locator(ROWS).count() <= 300
    page.click("#pause")
    save(writer, "fast", *map(str, range(1000)))
    expect(page.locator("#waiting")).to_have_text("↑ 1,000 new events")
    page.click("#waiting")
    expect(page.locator(FIRST)).to_have_text("999")
    expect(page.locator("#list .gap").first).to_have_text("800 events left out")


def test_what_was_left_out_does_not_come_back(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    """Else the oldest rows would be beside the newest, as if nothing were between."""
    save(writer, "cut", *(f"old {n}" for n in range(100)))
    page = look_at_moving("source=cut&live=1")
    expect(page.locator(ROWS)).to_have_count(100)
    asked: list[str] = []
    for batch in range(4):
        save(writer, "cut", *(f"{batch} {n}" for n in range(150)))
        expect(page.locator(FIRST)).to_have_text(f"{batch} 149")
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_selector("body.holds")
    expect(page.locator("#list-end")).to_have_text("While the page follows, it keeps 300 rows.")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert not any("/api/search" in url for url in asked)
    expect(page.locator(f"{ROWS} .content").last).to_have_text("2 0")


def test_tab_reaches_what_came(look_at_moving: Callable[..., Page], writer: LMDBEventStore) -> None:
    page = look_at_moving("source=tab&live=1")
    save(writer, "tab", "one", "two")
    expect(page.locator(f"{ROWS}[tabindex='0']")).to_have_count(1)


def test_what_came_is_not_said_to_be_nothing(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    """It comes while the page asks why the list is empty."""
    page = look_at_moving("source=of+no+test")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/stats", hold)
    page.goto(page.url.replace("of+no+test", "soon&live=1"))
    while not held:
        page.wait_for_timeout(10)
    save(writer, "soon", "here")
    expect(page.locator(FIRST)).to_have_text("here")
    with page.expect_event("requestfinished"):
        held[0].continue_()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    expect(page.locator("#notice")).to_be_empty()


def test_the_page_comes_back_to_a_server_that_starts_again(
    browser: Browser, tmp_path: Path, opener: Callable[..., Callable[..., Page]]
) -> None:
    """It says so while there is none. A server that starts again asks for its own token."""
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        store.save(Event(content="before"))
        with serving(path) as server:
            page = opener(browser, server)("")
            expect(page.locator(FIRST)).to_have_text("before")
            with page.expect_response("**/api/follow?*"):  # else it may be its list that fails
                page.click("#live")
            store.save(Event(content="followed"))
            expect(page.locator(FIRST)).to_have_text("followed")
        expect(page.locator("#connection")).to_contain_text("does not answer")
        store.save(Event(content="while it was away"))
        with serving(path, "--port", server.port) as again:
            expect(page.locator("#connection")).to_contain_text("asks for its token")
            page.context.request.get(again.link)
            page.reload()
            expect(page.locator(FIRST)).to_have_text("while it was away")
            store.save(Event(content="and after"))
            expect(page.locator(FIRST)).to_have_text("and after")
            page.context.clear_cookies()
            page.keyboard.press("o")
            expect(page.locator("#notice")).to_contain_text("The server asks for its token")


def test_a_stream_that_breaks_misses_nothing(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    """The page asks again, for what came after the last event that it got."""
    page = look_at_moving("source=broken")
    asked: list[str] = []

    def first_breaks(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            route.continue_()
            return
        one = Event(source="broken", content="one")
        writer.save(one)
        sent = {"events": [one._asdict()], "dropped": 0}
        text = f"event: events\nid: {writer.position()}\ndata: {json.dumps(sent)}\n\n"
        save(writer, "broken", "two", "three")
        route.fulfill(body=text, content_type="text/event-stream")

    page.route("**/api/follow?*", first_breaks)
    page.click("#live")
    expect(page.locator(f"{ROWS} .content")).to_have_text(["three", "two", "one"])


def test_a_stream_that_is_back_is_not_said_to_be_away(look: Callable[..., Page]) -> None:
    """The network comes back while the page asks why it was refused."""
    page = look()
    asked: list[Route] = []

    def first_are_held(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.fulfill(status=503, json={"error": {"message": "busy", "code": "busy"}})
        elif len(asked) > 2:
            route.continue_()

    page.route("**/api/follow?*", first_are_held)
    page.click("#live")
    while len(asked) < 2:
        page.wait_for_timeout(10)
    with page.expect_response("**/api/follow?*"):
        page.evaluate("dispatchEvent(new Event('online'))")
    with page.expect_event("requestfinished"):
        asked[1].fulfill(status=503, json={"error": {"message": "busy", "code": "busy"}})
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert page.locator("#connection").is_hidden()


def test_a_position_that_is_refused_is_told(look: Callable[..., Page]) -> None:
    """The page does not ask for it again and again."""
    page = look()
    error = {"error": {"message": "after: not here", "code": "invalid_query", "field": "after"}}
    page.route("**/api/follow?*after=*", lambda route: route.fulfill(status=400, json=error))
    page.click("#live")
    expect(page.locator("#connection")).to_have_text("after: not here")
