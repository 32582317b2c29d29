"""How many times each text occurs that a pattern catches: `search --count-by REGEX`.

Rules: of a pattern with groups, what they catch is counted, and else all of each match, as
`import --flag-from` makes flags. The most frequent come first.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from lmdbstore.cli.opening import open_to_read
from lmdbstore.cli.progress import pulse
from lmdbstore.cli.terminal import is_terminal, one_word
from lmdbstore.logs.fields import caught
from lmdbstore.patterns.pattern import compile_pattern

from .bars import draw

if TYPE_CHECKING:
    from lmdbstore.cli.opening import Location

__all__ = ["print_caught"]

FOUND, NOTHING = 0, 1  # exit statuses, as those of `search`


def print_caught(  # noqa: PLR0913
    db: Location,
    text: str,
    conditions: dict[str, Any],
    timeout: float | None,
    *,
    as_json: bool,
    colour: bool,
) -> int:
    """Print what the pattern `text` catches in the events that are sought; return the status."""
    compile_pattern(text)  # refuses what a search refuses
    pattern = re.compile(text)
    numbers: Counter[str] = Counter()
    with open_to_read(db, timeout) as store, pulse("counting"):
        for event in store.search(**{**conditions, "match": conditions["match"] or text}):
            numbers.update(caught(pattern, event.content))
    rows = numbers.most_common()
    if as_json:
        sys.stdout.write(json.dumps(dict(rows), ensure_ascii=False) + "\n")
    elif is_terminal(sys.stdout):
        sys.stdout.writelines(draw(rows, cut=True, colour=colour))
    else:
        sys.stdout.writelines(f"{one_word(one)}  {number}\n" for one, number in rows)
    return FOUND if rows else NOTHING
