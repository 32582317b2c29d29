"""The files of the page: what they name is there, and what they may not do is not in them."""

from __future__ import annotations

import re
from pathlib import Path

import lmdbstore

PAGE = Path(lmdbstore.__file__).parent / "web" / "page"
OURS = [path for path in sorted(PAGE.rglob("*.*")) if path.parent.name != "vendor"]
MODULES = [path for path in OURS if path.suffix == ".js"]
MOST_LINES = 400
FORBIDDEN = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
)


def test_all_that_the_page_names_is_there() -> None:
    """A module that is named wrong would stop the whole page."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'(?:href|src)="/page/([^"]+)"', html)
    assert "main.js" in named
    for name in named:
        assert (PAGE / name).is_file(), name
    for module in MODULES:
        for name in re.findall(r'^(?:import|\}) .*"(.+)";$', module.read_text(), re.MULTILINE):
            assert (module.parent / name).is_file(), f"{module.name} imports {name}"


def test_every_element_that_a_module_asks_for_is_there() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    ids = set(re.findall(r'\bid="([^"]+)"', html))
    for module in MODULES:
        assert set(re.findall(r'byId\("([^"]+)"\)', module.read_text())) <= ids, module.name


def test_every_file_is_small_and_every_module_says_what_it_is_for() -> None:
    for path in OURS:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= MOST_LINES, path.name
        if path in MODULES:
            assert text.startswith("/**"), path.name


def test_no_data_can_become_markup() -> None:
    """Elements are made one by one; so no text is ever read as HTML or as a program."""
    for module in MODULES:
        assert not re.search(FORBIDDEN, module.read_text(encoding="utf-8")), module.name
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", html)


def test_nothing_comes_from_elsewhere() -> None:
    for path in OURS:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|[\"'(]//", text), path.name


def test_what_others_made_has_its_licence_beside_it() -> None:
    """The chart is uPlot; its licence asks that its notice goes with every copy."""
    vendor = PAGE / "vendor"
    assert {path.name for path in vendor.iterdir()} == {
        "uPlot.LICENSE.txt",
        "uPlot.css",
        "uPlot.js",
    }
    assert "The MIT License" in (vendor / "uPlot.LICENSE.txt").read_text(encoding="utf-8")
    assert "(v1.6.32)" in (vendor / "uPlot.js").read_text(encoding="utf-8")[:500]
