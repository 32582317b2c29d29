"""A page to look at a store while programs write to it, and the JSON that it is made of.

    from lmdbstore import LMDBEventStore
    from lmdbstore.web import serve

    serve(LMDBEventStore("events", readonly=True, consistency="snapshot"))

This prints the address to open, as `lmdbstore serve --db events` does, and serves until it is
interrupted. It needs the extra `web`, works on any `EventStore`, and only reads.

**Who may ask.** The address has a token, which the server turns into a cookie; programs send it as
`Authorization: Bearer TOKEN`. `Host` must be a name of the server. Only GET and HEAD are answered.

**Parameters** are in the query of the address, in percent encoding. The conditions are those of
`EventStore.search`, and all must hold:

    since, until       seconds since 1970, or ISO 8601 with a zone; both inclusive
    match              a pattern
    flag               repeatable: an event has all of them
    any_flag           repeatable: it has one of them
    not_flag           repeatable: it has none of them
    source             exactly this source
    where              an object of JSON: {"status":500}, {"status":[">=",500]} or
                       {"status":[[">=",500],["<",600]]}
    at                 a position: what was saved later does not show

**Answers** are in JSON; times are in seconds since 1970. An event is an object of `id`, `source`,
`timestamp`, `tags` and `content`; with `match`, also `marks`: up to 100 pairs of where it is found
in the content, in units of UTF-16. A content of more than 20,000 characters is cut, and `length`
says how many it has; marks are those of the part that is shown.

    /api/search        conditions, order (desc, asc), limit (1 to 1000; 100), after (a token)
                       {"events", "token", "more", "complete", "position"}. With `more`, ask again
                       with `after=TOKEN`, or without if that is null. `complete` is false if the
                       search has taken the time that a request may take: there may be few events,
                       or none, and still more. `position` is that of the store before the search.
    /api/histogram     conditions, zone (UTC), buckets (at most so many; 120, from 3 to 500)
                       {"step", "seconds", "zone", "starts", "end", "all", "matching", "since",
                       "until", "complete", "reached"}. `starts` are those of the columns, which
                       follow each other; `all` are the numbers of events in the range of time,
                       `matching` those that meet the conditions; null if there are no others than
                       since, until and at. If not `complete`, what is before `reached` was not
                       counted.
    /api/facets        conditions, limit (20): {"flags": [{"value", "count"}], "sources": [...],
                       "complete", "reached"}, the most frequent ones
    /api/event/ID      before, after (how many neighbours; 5), match, at (of the neighbours)
                       {"event", "before", "after"}: the whole event, and events of its source.
                       Browsers cannot ask so for the ids . and .. but for /api/event?id=ID
    /api/follow        match, flag, any_flag, not_flag, source, where, after (a position; now):
                       server-sent events, in the order of saving. `event: events` has
                       {"events", "dropped"}; the id of a message is the position after it, so one
                       that comes back with `Last-Event-ID` misses nothing. `event: error` is the
                       last one.
    /api/export        conditions, order, format (jsonl, csv): a file, as `lmdbstore export` writes
    /api/stats         {"events", "flags", "sources", "first", "last", "position", "version",
                       "readonly"}, and of some stores "bytes", "free_bytes" and "file_bytes"

**Errors** are {"error": {"field", "message", "position", "code"}}: `field` is the parameter, and
`position` the place in a pattern, in units of UTF-16; null if there is none. `code` is
invalid_query (400), forbidden (403, or 421 for a wrong `Host`), not_found (404), method (405),
busy, closed or moved (503), damaged, compressed, unreadable or internal (500).

**Limits.** `Limits` has them. A request ends when its client goes, or takes nothing for long. When
there are too many, later ones get `busy`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lmdbstore.contract.api import EventStore
from lmdbstore.contract.tables.libraries import library
from lmdbstore.errors import InvalidOption, shown

from .limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["HOST", "PORT", "Limits", "serve"]

HOST, PORT = "127.0.0.1", 8474
LAST_PORT = 65_535


def _ready(address: str) -> None:
    print(address, flush=True)  # noqa: T201  it is needed now, also if it goes to a file


def _printed(line: str) -> None:
    print(f"lmdbstore: {line}", file=sys.stderr)  # noqa: T201  what a server has to say


def serve(  # noqa: PLR0913
    store: EventStore,
    host: str = HOST,
    port: int = PORT,
    *,
    names: Iterable[str] = (),
    limits: Limits = Limits(),  # noqa: B008  never changed
    ready: Callable[[str], object] = _ready,
    say: Callable[[str], object] = _printed,
) -> None:
    """Serve a page to look at `store`, until SIGINT or SIGTERM comes; then close the store.

    It ends within a second, whatever clients have open, and the signal is raised again. Call it in
    the main thread.

    Args:
        store: The store. Reads of it should wait for no writer.
        host: The address to listen at. Others than those of this machine are reached by others.
        port: The port; 0: any that is free.
        names: Names, other than `host` and those of this machine, by which browsers may ask.
        limits: How much a request may cost.
        ready: Called with the address to open, when it can be opened.
        say: Called with a line about each failure of the store or the server.

    Raises:
        ExtraMissing: the extra `web` is not installed.
        InvalidOption: an argument is invalid, or the port is in use.
    """
    if not isinstance(store, EventStore):
        raise InvalidOption(f"store: {shown(store)} is not an EventStore; pass one")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= LAST_PORT:
        raise InvalidOption(f"port: {shown(port)} is no port; pass a number up to {LAST_PORT}")
    for name in ("starlette", "uvicorn"):
        library(name, "web")
    from .server import run

    run(store, host, port, names, limits, ready=ready, say=say)
