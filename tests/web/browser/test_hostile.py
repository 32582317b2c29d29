"""Contents, flags, sources and ids that try to become a part of the page stay text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from lmdbstore import LMDBEventStore

expect = pytest.importorskip("playwright.sync_api").expect

ATTACKS = [
    "<img src=x onerror=\"alert('content'); window.harmed = 1\">",
    "</script><script>window.harmed = 1; alert(1)</script>",
    "\"'><svg onload=alert(2)>",
    "javascript:alert(3)",
    "{{constructor.constructor('alert(4)')()}}",
    '{"__proto__": {"harmed": 1}, "<b>": "</pre><img src=x onerror=alert(5)>"}',
    "\x1b]8;;javascript:alert(6)\x07link\x1b]8;;\x07\x1b[31m<i>red</i>",
]
SHOWN = [*ATTACKS[:-1], "link<i>red</i>"]
IDS = [f"id/{n}?&#%2F\"'><img src=x onerror=alert(7)>" for n in range(len(ATTACKS))]
FLAG = "flag\"'><img src=x onerror=alert(8)>"
SOURCE = "evil\" onmouseover='alert(9)' <img src=x onerror=alert(10)>"


def test_hostile_events_are_shown_as_text(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    """In the list, the facets, the conditions, the event, the address, and the search box."""
    writer.save_many(
        Event(each, SOURCE, timestamp=n, tags=[FLAG, ATTACKS[1]], content=ATTACKS[n])
        for n, each in enumerate(IDS)
    )
    page = look_at_moving("until=100")
    rows = page.locator("#list .row")
    assert rows.locator(".content").all_text_contents() == SHOWN[::-1]
    page.locator("#flags li .name").first.click()
    page.locator("#sources li .name").first.click()
    expect(page.locator(".chip")).to_have_count(3)
    page.fill("#match", r"<img src=x onerror=.alert\('content'")
    page.press("#match", "Enter")
    expect(rows).to_have_count(1)
    expect(rows.locator("mark")).to_have_count(1)
    rows.click()
    opened = page.locator("#event")
    expect(opened.locator(".facts")).to_contain_text(IDS[0])
    expect(opened.locator(".facts .flag").first).to_have_text(FLAG)
    expect(opened.locator("pre")).to_have_text(ATTACKS[0])
    assert opened.locator(".neighbours .content").all_text_contents() == SHOWN[:6]
    page.reload()
    expect(opened.locator("pre")).to_have_text(ATTACKS[0])
    for row in range(1, 6):
        opened.locator(".neighbours .row").nth(row).click()
        expect(opened.locator("code")).to_have_text(IDS[row])
    assert page.locator("img, script:not([type=module]), svg, i").count() == 0
    assert page.evaluate("window.harmed ?? {}.harmed ?? null") is None
    assert page.locator("a[href^=javascript]").count() == 0


def test_ids_that_lead_elsewhere_in_a_path_are_found(
    look_at_moving: Callable[..., Page], writer: LMDBEventStore
) -> None:
    """A browser takes the last part of a path away for such a one."""
    for each in (".", "..", "../stats", "%2e%2e"):
        writer.save(Event(each, "dots", content=f"this is {each}"))
        page = look_at_moving("source=dots")
        page.locator("#list .row").first.click()
        expect(page.locator("#event pre")).to_have_text(f"this is {each}")


def test_the_page_needs_no_inline_scripts_styles_or_other_places(look: Callable[..., Page]) -> None:
    """The policy of the server forbids them; what breaks it would be said on the console."""
    asked: list[str] = []
    page = look("match=backend")
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.locator("#list .row").first.click()
    expect(page.locator("#event .facts")).to_be_visible()
    place = page.evaluate("location.origin")
    assert {url.startswith(f"{place}/") for url in asked} == {True}
    assert page.locator("[style]:not(#histogram *):not(#facets li):not(.page)").count() == 0
