"""The histogram, the facets and the range of time narrow what is shown, by mouse and by keys."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api").expect

ROWS = "#list .row"


def asked(page: Page) -> dict[str, list[str]]:
    """Return the conditions in the address."""
    return parse_qs(urlsplit(page.url).query)


def settled(page: Page) -> None:
    """Wait for the list."""
    page.wait_for_selector("#list[aria-busy=false]", state="attached")


def total(page: Page, text: str) -> None:
    expect(page.locator("#total")).to_have_text(text)


def drag(page: Page, begin: float, end: float) -> None:
    """Drag over a part of the histogram, from 0 to 1."""
    page.wait_for_selector("#histogram .u-over")
    box = page.locator("#histogram .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + begin * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + (begin + end) / 2 * box["width"], box["y"] + 50)
    page.mouse.move(box["x"] + end * box["width"], box["y"] + 50)
    page.mouse.up()


def test_a_range_is_dragged_on_the_histogram(look: Callable[..., Page]) -> None:
    """List, histogram and facets then show the same range, which begins and ends with a column."""
    page = look("match=backend")
    total(page, "30 of 1,203 events")
    drag(page, 0.25, 0.5)
    expect(page.locator("#chips")).to_contain_text("2026-10-16 04:")
    since, until = asked(page)["since"][0], asked(page)["until"][0]
    assert since.endswith(":00Z")
    assert until.endswith("59.999999Z")
    settled(page)
    shown = page.locator(ROWS).count()
    assert 6 <= shown <= 9
    expect(page.locator("#total")).to_contain_text(f"{shown} of ")
    expect(page.locator("#flags li", has_text="slow").locator(".count")).to_have_text(str(shown))
    page.go_back()
    total(page, "30 of 1,203 events")


def test_a_range_is_chosen_on_the_histogram_by_keys(look: Callable[..., Page]) -> None:
    page = look()
    total(page, "1,203 events")
    page.keyboard.press("h")
    expect(page.locator("#histogram")).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#readout")).to_contain_text("2026-10-16 02:")
    for _ in range(2):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#chips")).to_contain_text("2026-10-16 02:")
    assert set(asked(page)) == {"since", "until"}
    settled(page)
    assert page.locator(ROWS).count() < 100


def test_the_columns_of_all_events_can_be_hidden(look: Callable[..., Page]) -> None:
    """Those of the matches are then as high as there is room."""
    page = look("match=backend")
    total(page, "30 of 1,203 events")
    labels = "#histogram"
    before = page.locator(labels).screenshot()
    page.click("#show-all")
    expect(page.locator("#show-all")).to_have_attribute("aria-pressed", "false")
    assert page.locator(labels).screenshot() != before


def test_flags_are_clicked_in_and_out(look: Callable[..., Page]) -> None:
    page = look()
    error = page.locator("#flags").get_by_role("button", name="error 30", exact=True)
    error.click()
    total(page, "30 of 1,203 events")
    assert asked(page)["flag"] == ["error"]
    expect(error).to_have_attribute("aria-pressed", "true")
    error.click()
    total(page, "1,203 events")
    page.get_by_role("button", name="Leave out error").click()
    total(page, "1,173 of 1,203 events")
    assert asked(page)["not_flag"] == ["error"]
    page.get_by_role("button", name="Remove not error").click()  # the chip
    total(page, "1,203 events")


def test_a_source_is_clicked_in_and_out(look: Callable[..., Page]) -> None:
    page = look()
    api = page.locator("#sources").get_by_role("button", name="api 120", exact=True)
    api.click()
    total(page, "120 of 1,203 events")
    assert asked(page)["source"] == ["api"]
    api.click()
    total(page, "1,203 events")
    page.locator("#sources").get_by_role("button", name="(none) 3", exact=True).click()
    expect(page.locator(ROWS)).to_have_count(3)
    page.reload()
    expect(page.locator(ROWS)).to_have_count(3)  # no source is another thing than any


def test_a_range_of_time_is_chosen_or_written(look: Callable[..., Page]) -> None:
    page = look()
    page.click("#range")
    page.fill("#since", "2026-10-16 04:00")  # in Berlin, as the page shows
    page.fill("#until", "2026-10-16T03:00:00Z")
    page.get_by_role("button", name="Show this range").click()
    expect(page.locator(ROWS).first).to_contain_text("05:00:00.000")
    total(page, "121 events")
    assert asked(page)["since"] == ["2026-10-16T02:00:00Z"]
    page.click("#range")
    page.fill("#since", "tomorrow")
    page.get_by_role("button", name="Show this range").click()
    expect(page.locator("#range-mistake")).to_contain_text("is no time")
    page.get_by_role("button", name="Last 6 hours").click()
    expect(page.locator("#range-name")).to_have_text("Last 6 hours")
    assert asked(page) == {"since": ["-6h"]}
    page.click("#zone")
    expect(page.locator("#zone")).to_have_text("UTC")
    assert asked(page) == {"since": ["-6h"], "zone": ["UTC"]}
