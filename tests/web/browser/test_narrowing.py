"""The histogram, the facets and the range of time narrow what is shown, by mouse and by keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

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


def test_a_range_is_dragged_with_a_finger(look: Callable[..., Page]) -> None:
    page = look("match=backend", has_touch=True)
    total(page, "30 of 1,203 events")
    box = page.locator("#histogram .u-over").bounding_box()
    assert box is not None
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *places: float) -> None:
        points = [{"x": box["x"] + place * box["width"], "y": box["y"] + 40} for place in places]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 0.25)
    send("touchEnd")  # chooses nothing
    send("touchStart", 0.25)
    for place in (0.3, 0.4, 0.5):
        send("touchMove", place)
    expect(page.locator("#readout")).to_contain_text("2026-10-16 04:")
    assert "since" not in asked(page)
    send("touchEnd")
    expect(page.locator("#chips")).to_contain_text("2026-10-16 04:")
    assert set(asked(page)) == {"match", "since", "until"}
    settled(page)
    assert 6 <= page.locator(ROWS).count() <= 9


def test_a_count_that_comes_again_does_not_disturb_a_choice(look: Callable[..., Page]) -> None:
    page = look("live=1")
    total(page, "1,203 events")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/histogram?*", hold)
    with page.expect_request("**/api/histogram?*"):
        pass
    page.keyboard.press("h")
    for key in ("Home", "Shift+ArrowRight"):
        page.keyboard.press(key)
    with page.expect_response("**/api/histogram?*") as answer:
        held[0].continue_()
    answer.value.finished()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    expect(page.locator("#readout")).to_contain_text("2026-10-16 01:55")
    page.keyboard.press("Enter")
    expect(page.locator("#chips")).to_contain_text("2026-10-16 01:55")


def test_the_histogram_has_columns_for_its_width(look: Callable[..., Page]) -> None:
    """It is counted again if the width changes. The height of a phone changes while one scrolls."""
    page = look("since=2026-10-16T00:00:00Z")
    total(page, "1,200 events")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": 1300, "height": 700})
    page.wait_for_timeout(700)  # longer than the page waits for quiet
    assert not asked
    with page.expect_request("**/api/histogram?*buckets=*") as wanted:
        page.set_viewport_size({"width": 500, "height": 700})
    given = parse_qs(urlsplit(wanted.value.url).query)
    assert (int(given["buckets"][0]) < 70, given["since"]) == (True, ["1792108800"])


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


def test_conditions_without_a_list_are_written(look: Callable[..., Page]) -> None:
    """One of some flags, and fields of JSON as the command takes them."""
    page = look("flag=info")

    def write(field: str, text: str) -> None:
        page.fill(field, text)
        page.press(field, "Enter")

    write("#any-flag", "info")
    total(page, "1,170 of 1,203 events")
    write("#any-flag", "slow")
    total(page, "1,200 of 1,203 events")
    assert asked(page) == {"any_flag": ["info", "slow"]}
    page.get_by_role("button", name="Remove one of info").click()
    total(page, "30 of 1,203 events")
    page.get_by_role("button", name="Remove one of slow").click()
    write("#field", " user.id >= 95")
    total(page, "111 of 1,203 events")
    write("#field", "user.id<115")
    total(page, "2 of 1,203 events")
    write("#field", "status!=x=y")
    total(page, "2 of 1,203 events")
    where = {"user.id": [[">=", 95], ["<", 115]], "status": [["!=", "x=y"]]}
    assert [json.loads(text) for text in asked(page)["where"]] == [where]
    for wrong in ("status", "=5", "a=[1]", "a=12345678901234567890"):
        write("#field", wrong)
        expect(page.locator("#field-mistake")).not_to_be_empty()
        expect(page.locator("#field")).to_have_value(wrong)
        write("#field", "")
        expect(page.locator("#field-mistake")).to_be_empty()
    assert [json.loads(text) for text in asked(page)["where"]] == [where]


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
