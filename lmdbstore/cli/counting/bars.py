"""Rows of a label, a number and a bar, as wide as the terminal.

Rules: bars show how large the numbers are beside each other; the largest takes what the labels and
the numbers leave of the width, and 0 has none. Texts of events that would take more than half of
the width are cut. A terminal that is too narrow has no bars.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from lmdbstore.cli.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["draw"]

EIGHTHS = " ▏▎▍▌▋▊▉█"  # parts of a column, from none to all
ASCII_BAR = "#"
GAP = "  "
BAR_ON, BAR_OFF = "\x1b[36m", "\x1b[0m"  # cyan: readable on dark and on light


def draw(
    rows: Sequence[tuple[str, int]], indent: str = "", *, cut: bool = False, colour: bool = False
) -> Iterable[str]:
    """Yield the lines of some rows; with `cut`, long labels are cut; `colour` is that of bars."""
    width = shutil.get_terminal_size().columns - len(indent)
    labels = _labels([label for label, _ in rows], width // 2 if cut else width)
    numbers = [f"{number:,}" for _, number in rows]
    digits = max(map(len, numbers), default=0)
    most = max((number for _, number in rows), default=0)
    left = width - _columns(labels[:1]) - digits - 2 * len(GAP)
    on, off = (BAR_ON, BAR_OFF) if colour else ("", "")
    for label, shown, (_, number) in zip(labels, numbers, rows, strict=True):
        bar = _bar(number, most, left)
        end = f"{GAP}{on}{bar}{off}" if bar else ""
        yield f"{indent}{label}{GAP}{shown:>{digits}}{end}\n"


def _labels(texts: list[str], most: int) -> list[str]:
    """Return labels of equal width, at most so many columns."""
    from rich.cells import set_cell_size

    texts = [one_line(text) for text in texts]
    width = _columns(texts)
    if width > most:
        texts = [f"{set_cell_size(t, most - 1)}…" if _columns([t]) > most else t for t in texts]
        width = most
    return [set_cell_size(text, width) for text in texts]


def _columns(texts: list[str]) -> int:
    """Return the columns of the widest text."""
    from rich.cells import cell_len

    return max(map(cell_len, texts), default=0)


def _bar(number: int, most: int, width: int) -> str:
    """Return a bar; a number above 0 has the least part of a column."""
    if width < 1 or not number:
        return ""
    eighths = max(round(number / most * width * 8), 1)
    if not _has_blocks():
        return ASCII_BAR * max(eighths // 8, 1)
    return EIGHTHS[8] * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _has_blocks() -> bool:
    try:
        EIGHTHS.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
