"""Folding: a long line goes on under its own start, and keeps its colours.

Rules: columns are counted as terminals show characters: some take two columns, some none. A line is
broken at its last space if that is in its second half, and otherwise anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from lmdbstore.cli.terminal import MATCH_OFF, MATCH_ON, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["folded"]

_Piece = tuple[str, bool]  # what is shown of a character, and whether it is highlighted


def folded(text: str, spans: Iterable[tuple[int, int]], width: int, indent: int) -> str:
    """Return a text in lines of `width` columns; all but the first are indented by `indent`.

    Each span, (start, end), is highlighted.
    """
    bright = bytearray(len(text))
    for start, end in spans:
        bright[start:end] = b"\1" * (end - start)
    shown = [(visible(char), bool(bright[n])) for n, char in enumerate(text)]
    return f"\n{' ' * indent}".join(map(_painted, _lines(shown, width)))


def _lines(pieces: list[_Piece], width: int) -> Iterator[list[_Piece]]:
    line: list[_Piece] = []
    used = 0
    for piece in pieces:
        if piece[0] == "\n":
            yield line
            line, used = [], 0
            continue
        columns = _columns(piece[0], used)
        if used + columns > width and line:
            rest = _rest(line)
            yield line[: len(line) - len(rest)]
            line = rest
            used = sum(cell_len(text) for text, _ in line)
        line.append(piece)
        used += columns
    yield line


def _columns(text: str, used: int) -> int:
    return 8 - used % 8 if text == "\t" else cell_len(text)


def _rest(line: list[_Piece]) -> list[_Piece]:
    """Return the end of a full line that the next one begins with."""
    for n in range(len(line) - 1, len(line) // 2, -1):
        if line[n][0] == " ":
            return line[n + 1 :]
    return []


def _painted(line: list[_Piece]) -> str:
    parts, on = [], False
    for text, bright in line:
        if bright != on:
            parts.append(MATCH_ON if bright else MATCH_OFF)
            on = bright
        parts.append(text)
    return "".join(parts) + MATCH_OFF * on
