"""The report as Markdown: how it was made, the goals, and every row.

Rules: no row is left out because it is lost. Lost goals are in bold, and so are the ratios of peers
that are faster. The report is made from the figures alone, so that it can be made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from statistics import median

from .follow.rows import GROUP as FOLLOW
from .goals import Verdict, judged
from .imports.rows import GROUP as IMPORT
from .imports.rows import about_importers
from .logs import GROUP as LOGS
from .measure import UNITS, Figures, ratio
from .operations import GROUPS
from .page import GROUP as PAGE
from .reasons import reason_for
from .servers.rows import GROUP as SERVERS

__all__ = ["markdown", "shown"]

TITLES = {
    **{group.name: group.title for group in GROUPS},
    "processes": "Several processes",
    "startup": "Startup",
    "scaling": "Growth of the store",
    PAGE: "The page",
    FOLLOW: "Following a store",
    LOGS: "The log of a program",
    IMPORT: "Imports of files",
    SERVERS: "Beyond one machine: PostgreSQL",
}


def markdown(figures: list[Figures], about: Mapping[str, str], left_out: Iterable[str]) -> str:
    """Write the report."""
    verdicts = list(judged(figures))
    lines = ["# Results of the benchmark", "", *_about(about), *_goals(verdicts)]
    lines += [f"- {line}" for line in left_out]
    lines += _reasons(verdicts)
    for name, rows in groupby(figures, lambda row: row.group):
        lines += ["", f"## {TITLES[name]}", *(["", about_importers()] if name == IMPORT else [])]
        lines += _table(list(rows))
    return "\n".join(lines) + "\n"


def shown(number: float) -> str:
    """Return a number with three digits, or as a whole number."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def _about(about: Mapping[str, str]) -> Iterator[str]:
    yield "![How many times as long each peer takes](results.svg)"
    yield ""
    yield (
        "Each table gives the median of each peer, and its time or size divided by that of "
        "lmdbstore (in the rows about growth: by that of the store in the heading). This ratio is "
        "the median of the ratios of the rounds. Above 1, lmdbstore is ahead; ratios below 1 are "
        "in bold."
    )
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in about.items():
        yield f"| {name} | {value} |"


def _goals(verdicts: Iterable[Verdict]) -> Iterator[str]:
    yield from ("", "## Goals", "")
    yield "The goals are for a million events. In a smaller store, fixed costs and noise are larger"
    yield "in proportion. `save_many` is not compared with Theia's stores, which have no such call."
    yield ""
    yield "| operation | against | wanted | measured | |"
    yield "|---|---|---|---|---|"
    for verdict in verdicts:
        goal = verdict.goal
        unit = "x" if goal.kind == "ratio" else f" {goal.kind}"
        wanted = f"at {'most' if goal.at_most else 'least'} {goal.wanted:g}{unit}"
        measured = "" if verdict.measured is None else f"{_signed(verdict.measured)}{unit}"
        cells = [goal.operation, goal.against, wanted, measured, verdict.word]
        if verdict.word == "lost":
            cells = [f"**{cell}**" for cell in cells]
        if verdict.detail:
            cells[-1] += f" ({verdict.detail})"
        yield f"| {' | '.join(cells)} |"


def _reasons(verdicts: Iterable[Verdict]) -> Iterator[str]:
    lost: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.word == "lost":
            name = f"{verdict.goal.operation} ({verdict.goal.against})"
            lost.setdefault(reason_for(verdict.goal), []).append(name)
    if lost:
        yield from ("", "Why these goals are lost:", "")
    for why, names in lost.items():
        yield f"- {', '.join(names)}: {why}."


def _signed(number: float) -> str:
    return f"-{shown(-number)}" if number < 0 else shown(number)


def _table(rows: list[Figures]) -> Iterator[str]:
    for row in rows:
        yield from ("", f"### {row.name}", "")
        if row.note:
            yield from (f"{row.note[0].upper()}{row.note[1:]}.", "")
        yield f"| {row.unit} | median | least | most | rounds | peer / {row.base} |"
        yield "|---|---|---|---|---|---|"
        for peer, figures in row.figures.items():
            yield _line(row, peer, figures)


def _line(row: Figures, peer: str, figures: list[float]) -> str:
    over = "> " if peer in row.over else ""
    values = [median(figures), min(figures), max(figures)]
    cells = [peer, *[over + shown(value * UNITS[row.unit]) for value in values], f"{len(figures)}"]
    return f"| {' | '.join([*cells, _ratio(row, peer, over)])} |"


def _ratio(row: Figures, peer: str, over: str) -> str:
    if peer == row.base or row.base not in row.figures:
        return ""
    found = ratio(row.figures[peer], row.figures[row.base])
    text = f"{over}{shown(found)}"
    return f"**{text}**" if found < 1 and not over else text
