"""Everything is in the address: history, links, pinned links, and links to files."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from lmdbstore import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from lmdbstore import LMDBEventStore

expect = pytest.importorskip("playwright.sync_api").expect

ROWS = "#list .row"


def test_back_and_forward_show_what_was_there(look: Callable[..., Page]) -> None:
    page = look()
    page.fill("#match", "backend")
    page.press("#match", "Enter")
    expect(page.locator(ROWS)).to_have_count(30)
    page.locator(ROWS).nth(2).click()
    expect(page.locator("#event .facts")).to_contain_text("11:10:00")
    page.go_back()
    expect(page.locator("#event")).to_be_hidden()
    expect(page.locator(ROWS)).to_have_count(30)
    page.go_back()
    expect(page.locator(ROWS)).to_have_count(100)
    expect(page.locator("#match")).to_have_value("")
    page.go_forward()
    page.go_forward()
    expect(page.locator("#match")).to_have_value("backend")
    expect(page.locator("#event .facts")).to_contain_text("11:10:00")


def test_a_link_shows_the_same(look: Callable[..., Page]) -> None:
    """Also what no control of the page makes."""
    query = "match=GET&flag=info&not_flag=slow&source=web&order=asc&zone=UTC&until=1792110000"
    page = look(query)
    text, asked = page.locator(ROWS).all_text_contents(), parse_qs(urlsplit(page.url).query)
    assert asked == parse_qs(query)
    assert text[0].startswith("2026-10-16 00:00:00.000")
    assert look(page.url.partition("?")[2]).locator(ROWS).all_text_contents() == text
    where = look("where=%7B%22user.id%22%3A%2095%7D")
    expect(where.locator(ROWS)).to_have_count(1)
    where.get_by_role("button", name="Remove fields").click()
    expect(where.locator(ROWS)).to_have_count(100)


def test_a_pinned_link_shows_the_state_of_a_commit(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    """List, histogram and facets agree; the page says that what was deleted is gone."""
    writer.save_many(Event(f"pin {n}", source="pin", tags=["pinned"]) for n in range(3))
    page = look_at_moving("source=pin&since=-1h")
    expect(page.locator(ROWS)).to_have_count(3)
    page.click("#pin")
    expect(page.locator("#pinned")).to_contain_text("what was deleted since is gone")
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["at"]
    assert asked["since"][0].endswith("Z")  # no longer relative to now
    writer.save(Event("pin later", source="pin", tags=["pinned"]))
    writer.delete("pin 1")
    for again in (page, look_at_moving(page.url.partition("?")[2])):
        again.reload()
        expect(again.locator(ROWS)).to_have_count(2)
        expect(again.locator("#total")).to_contain_text("2 of ")
        expect(again.locator("#flags li", has_text="pinned").locator(".count")).to_have_text("2")
    page.click("#unpin")
    expect(page.locator(ROWS)).to_have_count(3)
    expect(page.locator("#pinned")).to_be_hidden()


LATER = "(() => { const now = Date.now; Date.now = () => now() + 7200e3; })()"


def test_a_link_and_a_file_have_what_the_list_has(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    """However long ago it was made, and whatever was saved since."""
    writer.save_many(Event(f"file {n}", source="file") for n in range(3))
    page = look_at_moving("source=file&since=-1h&until=now")
    expect(page.locator(ROWS)).to_have_count(3)
    writer.save(Event("file later", source="file", timestamp=writer.get("file 0").timestamp))
    page.evaluate(LATER)
    page.click("#export summary")
    with page.expect_download() as wanted:
        page.click("#export-jsonl")
    assert len(wanted.value.path().read_text(encoding="utf-8").splitlines()) == 3
    page.click("#pin")
    expect(page.locator("#pinned")).to_be_visible()
    page.wait_for_selector("#list[aria-busy=false]", state="attached")
    expect(page.locator(ROWS)).to_have_count(3)
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["since"][0].endswith("Z")
    assert asked["until"][0].endswith("Z")


def test_a_page_that_follows_is_pinned_to_what_it_shows(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    page = look_at_moving("source=pinned+live&live=1")
    writer.save_many(Event(source="pinned live", content=f"{n}") for n in range(2))
    expect(page.locator(ROWS)).to_have_count(2)
    page.click("#pin")
    expect(page.locator("#pinned")).to_be_visible()
    writer.save(Event(source="pinned live", content="later"))
    page.reload()
    expect(page.locator(f"{ROWS} .content")).to_have_text(["1", "0"])
    page.locator(ROWS).first.click()
    expect(page.locator("#event .neighbours .content")).to_have_text(["0", "1"])
    page.click("#unpin")
    expect(page.locator("#event .neighbours .content")).to_have_text(["0", "1", "later"])


def test_what_is_shown_can_be_exported(look: Callable[..., Page]) -> None:
    page = look("match=backend&order=asc")
    page.click("#export summary")
    with page.expect_download() as wanted:
        page.click("#export-jsonl")
    lines = wanted.value.path().read_text(encoding="utf-8").splitlines()
    contents = {json.loads(line)["content"] for line in lines}
    assert (len(lines), contents) == (30, {"timeout of the backend <b>at once</b>"})
    with page.expect_download() as wanted:
        page.click("#export-csv")
    table = list(csv.DictReader(io.StringIO(wanted.value.path().read_text(encoding="utf-8"))))
    times = [row["timestamp"] for row in table]
    assert (len(table), times) == (30, sorted(times))
