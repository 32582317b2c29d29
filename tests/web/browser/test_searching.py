"""Searching on the page: the list, its marks, its folds, its end, and what goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

expect = pytest.importorskip("playwright.sync_api").expect

ROWS = "#list .row"
BUSY = {"error": {"message": "there are too many clients", "code": "busy"}}
SCROLL = """() => {
    window.scrollBy(0, 1200);
    return [...document.querySelectorAll("#list .row .content")].map((one) => one.textContent);
}"""


def test_a_search_shows_what_matches_and_marks_it(look: Callable[..., Page]) -> None:
    page = look()
    expect(page.locator(ROWS)).to_have_count(100)
    expect(page.locator("#total")).to_have_text("1,203 events")
    page.fill("#match", "timeout|nothing")
    page.press("#match", "Enter")
    expect(page.locator(ROWS)).to_have_count(30)
    assert set(page.locator(f"{ROWS} mark").all_text_contents()) == {"timeout"}
    expect(page.locator("#total")).to_have_text("30 of 1,203 events")
    assert "match=timeout%7Cnothing" in page.url
    first = page.locator(ROWS).first
    expect(first.locator(".time")).to_have_text("2026-10-16 11:50:00.000")  # in Berlin
    expect(first.locator(".content")).to_have_text("timeout of the backend <b>at once</b>")


def test_a_mistake_in_the_pattern_is_shown_in_place(look: Callable[..., Page]) -> None:
    page = look()
    page.fill("#match", "log(in")
    page.press("#match", "Enter")
    expect(page.locator("#mistake")).to_contain_text("unclosed group")
    expect(page.locator("#mistake mark")).to_have_text("(")
    expect(page.locator("#match")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(ROWS)).to_have_count(0)
    page.fill("#match", "login")
    page.press("#match", "Enter")
    expect(page.locator("#mistake")).to_be_hidden()
    expect(page.locator(ROWS)).to_have_count(100)


def test_a_new_search_aborts_the_last(look: Callable[..., Page]) -> None:
    """The answer of the first one would come after the answer of the second."""
    page = look()
    aborted: list[str] = []
    page.on("requestfailed", lambda request: aborted.append(request.url))
    page.route("**/api/search?match=slow*", lambda _: None)  # no answer at all
    page.fill("#match", "slow")
    page.press("#match", "Enter")
    page.fill("#match", "backend")
    page.press("#match", "Enter")
    expect(page.locator(ROWS)).to_have_count(30)
    assert any("match=slow" in url for url in aborted)


def test_nothing_found_offers_to_take_conditions_away(look: Callable[..., Page]) -> None:
    page = look("match=no+such&flag=error")
    expect(page.locator("#notice")).to_contain_text("Nothing found")
    page.get_by_role("button", name="Any content").click()
    expect(page.locator(ROWS)).to_have_count(30)
    expect(page.locator("#notice")).to_be_empty()


def test_an_empty_store_says_so(look_at_moving: Callable[..., Page]) -> None:
    page = look_at_moving("source=of+no+test")
    page.route("**/api/stats", lambda route: route.fulfill(json={"events": 0}))
    page.reload()
    expect(page.locator("#notice")).to_contain_text("The store is empty")


def test_a_search_that_stopped_at_its_limit_goes_on(look: Callable[..., Page]) -> None:
    page = look()
    part = {"events": [], "token": "t", "more": True, "complete": False, "position": "p"}
    rest: dict[str, object] = {
        "events": [],
        "token": None,
        "more": False,
        "complete": True,
        "position": "p",
    }
    page.route("**/api/search?*match=rare*", lambda route: route.fulfill(json=part))
    page.route("**/api/search?*after=t*", lambda route: route.fulfill(json=rest))
    page.fill("#match", "rare")
    page.press("#match", "Enter")
    expect(page.locator("#list-end")).to_contain_text("stopped at its limit")
    with page.expect_request("**/api/search?*after=t*"):
        page.get_by_role("button", name="Go on").click()
    expect(page.locator("#list-end")).not_to_contain_text("stopped")


def test_the_list_has_no_end_and_few_rows(look: Callable[..., Page]) -> None:
    """Every event comes once, in order, and the page stays small."""
    page = look("order=asc")
    seen: dict[str, None] = {}
    most = 0
    for _ in range(1000):
        contents = page.evaluate(SCROLL)
        seen |= dict.fromkeys(contents)
        most = max(most, len(contents))
        if "GET /login 1199" in seen and page.get_by_text("That is all.").count():
            break
        page.wait_for_timeout(10)
    numbers = [int(text.rpartition(" ")[2]) for text in seen if text.startswith("GET")]
    assert numbers == [n for n in range(1200) if n % 10 != 5 and n % 40 != 20]
    assert most < 800
    page.evaluate("window.scrollTo(0, 0)")
    expect(page.locator(".row[data-id=ansi]")).to_be_visible()  # it was asked for again


@pytest.mark.parametrize("limit", ["30", "130"])
def test_rows_that_come_back_are_those_that_were_there(
    look: Callable[..., Page], limit: str
) -> None:
    """Also if a call gives fewer of them now, or more; and the open one is marked again."""
    page = look("order=asc&event=ansi")
    first, opened = page.locator("#list .page").first, page.locator("#list .row[data-id=ansi]")
    expect(opened).to_have_attribute("aria-current", "true")
    texts = first.locator(".row").all_text_contents()
    assert len(texts) == 100
    scroll_away(page)

    def other_limit(route: Route) -> None:
        route.continue_(url=route.request.url.replace("limit=100", f"limit={limit}"))

    page.route("**/api/search?*", other_limit)
    page.evaluate("window.scrollTo(0, 0)")
    expect(opened).to_have_attribute("aria-current", "true")
    assert first.locator(".row").all_text_contents() == texts


def scroll_away(page: Page) -> None:
    """Scroll until the first rows are gone."""
    for _ in range(1000):
        page.evaluate(SCROLL)
        if not page.locator("#list .row[data-id=ansi]").count():
            return
        page.wait_for_timeout(10)
    pytest.fail("the rows are there still")


def test_rows_that_do_not_come_back_are_said_to_be_missing(look: Callable[..., Page]) -> None:
    page = look("order=asc")
    scroll_away(page)
    answers = "**/api/search?*"
    page.route(answers, lambda route: route.fulfill(status=503, json=BUSY))
    page.evaluate("window.scrollTo(0, 0)")
    first = page.locator("#list .page").first
    expect(first).to_contain_text("too many")
    page.unroute(answers)
    first.get_by_role("button", name="Try again").click()
    expect(first.locator(".row")).to_have_count(100)


def test_what_goes_wrong_is_said_to_screen_readers(look: Callable[..., Page]) -> None:
    """And what was wrong with the last pattern is not said any more."""
    page = look("match=(")
    expect(page.locator("#announcement")).to_contain_text("cannot be searched for")
    expect(page.locator("#mistake")).to_be_visible()
    page.route("**/api/search?*", lambda route: route.fulfill(status=503, json=BUSY))
    page.fill("#match", "right")
    page.press("#match", "Enter")
    expect(page.locator("#announcement")).to_contain_text("too many")
    expect(page.locator("#mistake")).to_be_hidden()


def test_what_was_not_counted_is_not_said_to_be_none(look: Callable[..., Page]) -> None:
    page = look()
    page.route("**/api/facets?*", lambda route: route.fulfill(status=503, json=BUSY))
    page.reload()
    for kind in ("flags", "sources"):
        expect(page.locator(f"#{kind}-part")).to_have_text("not counted")
        expect(page.locator(f"#{kind}-none")).to_be_hidden()


def test_the_order_can_be_changed(look: Callable[..., Page]) -> None:
    page = look()
    expect(page.locator(ROWS).first.locator(".content")).to_have_text("GET /login 1199")
    page.click("#order")
    expect(page.locator(ROWS).first).to_have_attribute("data-id", "ansi")
    expect(page.locator("#order")).to_have_text("Oldest first")


def test_contents_are_shown_as_they_are_meant(look: Callable[..., Page]) -> None:
    """Colours of terminals, long contents, JSON, and signs for what cannot be seen."""
    page = look("order=asc")
    ansi = page.locator(".row[data-id=ansi] .content")
    expect(ansi).to_have_text("red and bold")
    expect(ansi.locator(".ansi-1")).to_have_text("red")
    expect(ansi.locator(".ansi-bold.ansi-front")).to_have_css("--front", "rgb(255 135 0)")
    expect(page.locator(".row[data-id=signs] .content")).to_have_text(r"a\x00bU+202Ec")
    long = page.locator(".row[data-id=long]")
    expect(long.locator(".content")).not_to_contain_text("line 5")
    long.get_by_role("button", name="Show 56 more lines").click()
    expect(long.locator(".content")).to_contain_text("line 59")
    expect(page.locator("#event")).to_be_hidden()  # that click opened nothing
    json = page.locator(ROWS, has_text="status").first
    assert json.locator(".json-key").all_text_contents()[:2] == ['"status"', '"user"']
    page.goto(page.url.partition("?")[0] + "?match=line+4[0-9]")
    expect(long.locator(".excerpt")).to_have_text("… line 40")  # folded, and the match is seen


def test_an_event_opens_between_its_neighbours(look: Callable[..., Page]) -> None:
    page = look("match=" + quote('"id": 75}'))
    page.locator(ROWS).click()
    opened = page.locator("#event")
    expect(opened.locator("pre")).to_contain_text('\n  "user": {\n    "id": 75')
    expect(opened.locator("pre mark").first).to_contain_text('"id"')
    expect(opened.locator("pre")).to_contain_text("12345678901234567890")  # not rounded
    expect(opened.locator(".neighbours .row")).to_have_count(11)
    expect(opened.locator(".neighbours [aria-current]")).to_contain_text('{"id": 75}')
    opened.locator(".neighbours .row").last.click()
    expect(opened.locator("pre")).to_contain_text('"id": 125')
    opened.get_by_role("button", name="Close").click()
    expect(opened).to_be_hidden()


def test_an_event_that_is_gone_is_said_to_be(look: Callable[..., Page]) -> None:
    page = look("event=no/such%20one")
    expect(page.locator("#event")).to_contain_text("There is no such event")
