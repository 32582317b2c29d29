"""The page by keyboard alone, on narrow screens, dark and light, and for screen readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tools.browser import axe
from tests.tools.children import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api").expect

ROWS = "#list .row"
LONG = "match=backend&flag=error&source=web&since=-90w&until=2026-10-17T00:00:00Z"
NARROW = {"width": 400, "height": 800}
RUN_AXE = """async (options) => (await axe.run(document, options)).violations
    .filter(({impact}) => ["serious", "critical"].includes(impact))
    .map(({id, nodes}) => [id, nodes.slice(0, 3).map(({html}) => html.slice(0, 200))])"""


def test_everything_works_by_keyboard(look: Callable[..., Page]) -> None:
    page = look()
    keys = page.keyboard
    keys.press("/")
    expect(page.locator("#match")).to_be_focused()
    keys.type("backend|joke?")  # letters and ? are no commands here
    keys.press("Enter")
    expect(page.locator(ROWS)).to_have_count(30)
    keys.press("Escape")
    for _ in range(2):
        keys.press("j")
    expect(page.locator(ROWS).nth(1)).to_be_focused()
    keys.press("ArrowDown")
    keys.press("k")
    keys.press("Enter")
    expect(page.locator("#event-title")).to_be_focused()
    expect(page.locator("#event .facts")).to_contain_text("11:30:00")
    keys.press("/")
    keys.press("Enter")
    expect(page.locator("#match")).to_be_focused()  # the event takes the focus when it opens only
    keys.press("Escape")
    expect(page.locator(ROWS).nth(1)).to_be_focused()
    keys.press("o")
    expect(page.locator(ROWS).first.locator(".time")).to_contain_text("02:10:00")
    keys.press("t")
    expect(page.get_by_role("button", name="Last 15 minutes")).to_be_focused()
    keys.press("Escape")
    expect(page.locator("#range")).to_be_focused()
    keys.press("f")
    expect(page.locator("#flags button").first).to_be_focused()
    keys.press("Enter")
    expect(page.locator(".chip")).to_have_count(2)
    keys.press("e")
    expect(page.locator("#export-jsonl")).to_be_focused()
    keys.press("Escape")
    keys.press("s")
    expect(page.locator("#pinned")).to_be_visible()
    keys.press("l")
    expect(page.locator("#pause")).to_be_visible()
    keys.press("u")
    expect(page.locator("#zone")).to_have_text("UTC")
    keys.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Newest or oldest first")
    page.get_by_label("Single letters are keys").uncheck()
    keys.press("Escape")
    keys.press("/")
    expect(page.locator("#match")).not_to_be_focused()


def test_arrows_scroll_the_event_that_has_the_focus(look: Callable[..., Page]) -> None:
    page = look("event=long")
    content = page.locator("#event pre")
    content.focus()
    page.keyboard.press("ArrowDown")
    expect(content).to_be_focused()
    until(lambda: bool(content.evaluate("it => it.scrollTop > 0")), "it does not scroll")
    page.keyboard.press("j")
    expect(page.locator(ROWS).first).to_be_focused()


def test_keys_do_nothing_to_what_the_event_covers(look: Callable[..., Page]) -> None:
    page = look("event=long", viewport=NARROW)
    expect(page.locator("#event-title")).to_be_focused()
    before = page.url
    for key in "tfeslou":
        page.keyboard.press(key)
    assert page.url == before
    for covered in ("#range-room", "#export-csv"):
        expect(page.locator(covered)).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#event")).to_be_hidden()


def test_the_focus_survives_what_it_causes(look: Callable[..., Page]) -> None:
    """A facet that was pressed has the focus still when its list was made again."""
    page = look()
    page.keyboard.press("f")
    expect(page.locator("#flags button").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#flags [aria-pressed=true]")).to_be_focused()
    page.goto(page.url.partition("?")[0] + "?match=GET&flag=info&source=web&live=1")
    for name in ("source web", "pattern GET", "flag info"):
        remove = page.get_by_role("button", name=f"Remove {name}")
        remove.focus()
        remove.press("Enter")
        expect(remove).to_have_count(0)
        focused = page.evaluate("document.activeElement.ariaLabel")
        assert (
            focused
            == {
                "source web": "Remove flag info",
                "pattern GET": "Remove flag info",
                "flag info": "Pattern to search for",
            }[name]
        )
    page.click("#pin")
    page.locator("#unpin").press("Enter")
    expect(page.locator("#pin")).to_be_focused()


@pytest.mark.parametrize(
    "query", ["match=backend&flag=error&source=web&since=-90w", "event=long", "match=(&live=1"]
)
def test_400_pixels_are_enough(look: Callable[..., Page], query: str) -> None:
    """Nothing has to be scrolled to the side."""
    page = look(query, viewport=NARROW)
    if "event" in query:
        expect(page.locator("#event .facts")).to_be_visible()
    elif "since" in query:
        page.click("#facets summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    for control in ("#match", "#range", "#live", "#pin", "#help"):
        box = page.locator(control).bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= NARROW["width"], control


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_light_or_dark_as_the_system_is(look: Callable[..., Page], scheme: str) -> None:
    page = look(color_scheme=scheme)
    ground, text = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        ".map((colour) => colour.match(/[0-9]+/g).slice(0, 3).reduce((sum, one) => sum + +one, 0))"
    )
    assert (ground > 3 * 200 > 300 > text) if scheme == "light" else (text > 3 * 200 > 300 > ground)


STATES = (
    ("match=backend&not_flag=other&order=asc", "#list .row >> nth=0", "#event .facts"),
    ("order=asc&live=1", "#range", "#range-room"),
    ("match=no+such", "#help", "#keys[open]"),
    ("match=(", "#match", "#mistake"),
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(look: Callable[..., Page], scheme: str) -> None:
    """In the dark, only colours can be worse than in the light."""
    source = axe()
    if source is None:
        pytest.skip("axe-core is not there: npm install --no-save axe-core in the clone")
    page = look(color_scheme=scheme)
    options = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
    for query, click, shown in STATES:
        page.goto(f"{page.url.partition('?')[0]}?{query}")
        page.click(click)
        expect(page.locator(shown)).to_be_visible()
        page.evaluate(source)
        assert page.evaluate(RUN_AXE, options) == [], query
