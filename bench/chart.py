"""The chart as SVG: for each operation, the time of each peer divided by that of the store.

Rules: bars are on a logarithmic axis and begin at 1, the store itself. Bars to the right mean that
the peer is slower, bars to the left that it is faster. The chart has its own background, so that it
can be read on any page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from .measure import Figures, ratio
from .peers import OURS

__all__ = ["svg"]

WIDTH, LEFT, RIGHT, TOP = 860, 230, 60, 74  # pixels
BAR, GAP = 11, 9  # pixels: the height of a bar, and the space between two operations
LEAST, MOST = 0.03, 1000.0  # ratios at the ends of the axis; longer bars are cut off there
COLOURS = {
    "SQLite": "#2f6fb0",
    "DuckDB": "#d1930f",
    "RocksDB": "#3d8f5f",
    "py-lmdb": "#8a8f98",
    "grep": "#9a5fb0",
}
TITLE = "Time, or size, of each peer over that of lmdbstore (right of 1: lmdbstore is ahead)"
OPERATIONS = (
    *("get", "newest 100", "range of 100", "range of 100,000", "one common flag"),
    *("common and rare flag", "rare and common flag", "two common flags"),
    *("pattern, rare literal", "pattern, no literal", "pattern, ignoring case"),
    *("pattern, a few percent", "matches, rare literal", "count, common flag"),
    *("save, 1 thread", "save, 16 threads", "save, 64 threads"),
    *("save_many, 100", "save_many, 10,000", "delete", "bytes on disk"),
)


def svg(figures: list[Figures]) -> str:
    """Draw the chart."""
    rows = {row.name: row for row in figures if row.group == "made" and OURS in row.figures}
    shown = [rows[name] for name in OPERATIONS if name in rows]
    body, y = [], float(TOP)
    for row in shown:
        drawn = list(_operation(row, y))
        body += drawn
        y += BAR * len(_ratios(row)) + GAP
    height = y + 34
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" font-family="sans-serif" font-size="11">'
        f"<title>{TITLE}</title>"
        f'<rect width="{WIDTH}" height="{height:.0f}" rx="6" fill="#fbfbf9"/>'
    )
    return "\n".join([head, *_legend(), *_axis(y), *body, "</svg>"]) + "\n"


def _ratios(row: Figures) -> dict[str, float]:
    ours = row.figures[OURS]
    return {peer: ratio(row.figures[peer], ours) for peer in COLOURS if peer in row.figures}


def _x(value: float) -> float:
    part = math.log(min(MOST, max(LEAST, value)) / LEAST) / math.log(MOST / LEAST)
    return LEFT + part * (WIDTH - LEFT - RIGHT)


def _operation(row: Figures, y: float) -> Iterator[str]:
    ratios = _ratios(row)
    middle = y + BAR * len(ratios) / 2 + 4
    yield _text(LEFT - 54, middle, row.name, "end")
    for peer, value in ratios.items():
        begin, end = sorted((_x(1.0), _x(value)))
        yield (
            f'<rect x="{begin:.1f}" y="{y:.1f}" width="{max(1.0, end - begin):.1f}" '
            f'height="{BAR - 2}" fill="{COLOURS[peer]}"/>'
        )
        side = (end + 4, "start") if value >= 1 else (begin - 4, "end")
        yield _text(side[0], y + BAR - 3, _number(value), side[1], 9)
        y += BAR


def _legend() -> Iterator[str]:
    yield _text(16, 22, TITLE, "start", 13)
    x = 16.0
    for peer, colour in COLOURS.items():
        yield f'<rect x="{x:.0f}" y="34" width="11" height="11" fill="{colour}"/>'
        yield _text(x + 16, 44, peer, "start")
        x += 100


def _axis(bottom: float) -> Iterator[str]:
    for power in range(math.ceil(math.log10(LEAST)), math.floor(math.log10(MOST)) + 1):
        x = _x(10.0**power)
        colour = "#333" if power == 0 else "#ddd"
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom:.1f}" stroke="{colour}"/>'
        )
        yield _text(x, TOP - 10, f"{10.0**power:g}x", "middle")
        yield _text(x, bottom + 16, f"{10.0**power:g}x", "middle")


def _text(x: float, y: float, text: str, anchor: str, size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222">'
        f"{escape(text)}</text>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
