"""Which formats the lines of a file have, learnt from some of its lines.

Rules: a line is of the first entry of the table that matches it and gives an existing time. A file
has the formats that enough of its lines have, and no others: a date inside a message is no time of
a line. Where hardly any line begins with a time, it is sought after other text; then it counts only
after text of the same shape as in other lines, and not in a sentence. Of two ways to read the same
digits as a day, the file shows which is right: the one by which more lines have a time, fewer are
later than the file, and fewer go back.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from .clock import DAY, Clock, Setting
from .formats import FORMATS, Format
from .template import UnknownField, from_strptime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .template import Compiled

__all__ = ["Learnt", "format_named", "learn"]

SAMPLE = 1000  # lines; more do not change which formats a file has
ENOUGH = 20  # one line of so many makes a format one of the file's
FEW = 5  # one line of so many must begin with a time, or it is sought elsewhere
LONGEST_LEAD = 120  # characters before a time that is not at the start
MOST_LEADS = 8
LEAD_OF_GIVEN = r".{0,1000}?"

# What is left: \w.$@%+- and what is not ASCII. The set is written as `template.LETTER` is.
WORD = r"[^\x00- !\"#&'()*,/:;<=>?\[\\\]^`{|}~\x7f]+"
_word = re.compile(rf"\s+|{WORD}|.", re.DOTALL | re.ASCII)
# "on", "at" or two words of a sentence before a date: it belongs to the message.
_is_prose = re.compile(
    r"(?:\b[a-z]{2,}\s+[a-z]{2,}\s|\b(?:at|by|for|from|in|is|of|on|since|to|until|was)\s+$)"
).search


class Learnt(NamedTuple):
    """A format of a file."""

    format: Format
    pattern: Compiled
    ambiguous: bool = False  # all its lines could be read as other days, too


def format_named(text: str) -> Learnt:
    """Return the format of a name in the table, or written as for `strptime`.

    With the latter, the time is where the format first fits in a line.

    Raises:
        UnknownField: it is neither.
    """
    for entry in FORMATS:
        if entry.name == text:
            return Learnt(entry, entry.compiled())
    if "%" not in text:
        raise UnknownField(text)
    entry = Format(text, "", from_strptime(text), LEAD_OF_GIVEN)
    return Learnt(entry, entry.compiled())


def learn(lines: Sequence[str], setting: Setting, *, most: bool = False) -> list[Learnt]:
    """Return the formats of the file that these lines are of, in the order to try them.

    With `most`, only a format that most of these lines begin with.
    """
    sample = [line for line in lines if line and not line[0].isspace()][:SAMPLE]
    if not sample:
        sample = [line for line in lines if line.strip()][:SAMPLE]
    at_start, others = _sorted(sample, setting)
    found = sum(map(len, at_start.values()))
    behind = [] if most or found * FEW >= len(sample) else _behind(others, setting)
    if behind:
        return behind
    least = len(sample) // 2 + 1 if most else max(1, len(sample) // ENOUGH)
    learnt = []
    for entry in FORMATS:
        own = at_start.pop(_kind(entry), ())
        if len(own) >= least:
            learnt += _chosen(entry, own, setting)
    return learnt


def _sorted(sample: Sequence[str], setting: Setting) -> tuple[dict[str, list[str]], list[str]]:
    """Return the lines of each format, or of those that read the same text, and of none."""
    clocks: dict[str, Clock] = {}
    found: dict[str, list[str]] = {}
    others: list[str] = []
    for line in sample:
        for entry in FORMATS:
            if _exists(entry, clocks, line, setting):
                found.setdefault(_kind(entry), []).append(line)
                break
        else:
            others.append(line)
    return found, others


def _kind(entry: Format) -> str:
    return entry.choice or entry.name


def _exists(entry: Format, clocks: dict[str, Clock], line: str, setting: Setting) -> bool:
    clock = clocks.get(entry.name)
    if clock is None:
        clock = clocks[entry.name] = Clock(entry.compiled(), setting)
    match = clock.match(line)
    if match is None:
        return False
    (time,) = clock.times([match])
    return time is not None and not math.isnan(time)


def _chosen(entry: Format, lines: Sequence[str], setting: Setting) -> list[Learnt]:
    if not entry.choice:
        return [Learnt(entry, entry.compiled())]
    rivals = [other for other in FORMATS if other.choice == entry.choice]
    scores = {rival.name: _score(rival.compiled(), lines, setting) for rival in rivals}
    best = max(rivals, key=lambda rival: scores[rival.name])
    equal = [rival for rival in rivals if scores[rival.name][0] == scores[best.name][0]]
    return [Learnt(best, best.compiled(), ambiguous=len(equal) > 1)]


def _score(pattern: Compiled, lines: Sequence[str], setting: Setting) -> tuple[int, int, int]:
    """Return how well a way to read days fits: larger is better."""
    clock = Clock(pattern, setting)
    times = [time for time in clock.times(map(clock.match, lines)) if time and not math.isnan(time)]
    latest = setting.mtime + DAY
    back = sum(after < before for before, after in pairwise(times))
    return len(times), -sum(time > latest for time in times), -back


# -- behind other text ----------------------------------------------------------------------------


def _behind(lines: Sequence[str], setting: Setting) -> list[Learnt]:
    """Return the formats of lines with a time that is not at the start."""
    best: tuple[int, list[Learnt]] = (0, [])
    for entry in FORMATS:
        if entry.anywhere:
            leads = _leads(entry, lines, setting)
            if sum(leads.values()) > best[0]:
                lead = f"(?:{'|'.join(leads)})"
                best = sum(leads.values()), _of_rivals(entry, lead, lines, setting)
    return best[1] if best[0] * FEW >= len(lines) else []


def _of_rivals(entry: Format, lead: str, lines: Sequence[str], setting: Setting) -> list[Learnt]:
    rivals = [entry]
    if entry.choice:
        rivals = [one for one in FORMATS if one.choice == entry.choice and one.anywhere]
    patterns = [(one, one.compiled(lead)) for one in rivals]
    best, pattern = max(patterns, key=lambda one: _score(one[1], lines, setting))
    return [Learnt(best, pattern, ambiguous=len(rivals) > 1)]


def _leads(entry: Format, lines: Sequence[str], setting: Setting) -> Counter[str]:
    """Return the shapes of the text before a time, as patterns, with the number of lines."""
    search = entry.compiled(r"(?<![\w./+-])").pattern.search
    clock = Clock(entry.compiled(""), setting)
    leads: Counter[str] = Counter()
    for line in lines:
        found = search(line, 0, LONGEST_LEAD + 60)
        if found is None or found.start() > LONGEST_LEAD:
            continue
        lead = line[: found.start()]
        match = clock.match(line[found.start() :])
        if match and not _is_prose(lead) and clock.times([match])[0] is not None:
            leads[_shape(lead)] += 1
    least = max(1, len(lines) // ENOUGH)
    most = [(lead, number) for lead, number in leads.most_common(MOST_LEADS) if number >= least]
    return Counter(dict(most))


def _shape(lead: str) -> str:
    """Return a pattern for texts that have words, and the same signs, where this one has them."""
    parts = []
    for found in _word.finditer(lead):
        text = found[0]
        if text.isascii() and text.isspace():
            parts.append(r"\s+")
        else:
            parts.append(WORD if len(text) > 1 or text.isalnum() else re.escape(text))
    return "".join(parts)
