"""The rows about the page: its first list and its histogram, from a server, beside SQLite.

Rules: the time of the page is that of a client: a connection, a request, and the answer read from
JSON. SQLite answers the same query in the process that asks, which gets its rows. Both give the
same events and the same numbers. Loading is not timed.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .data import STEP, batches, made_events
from .measure import Figures, Run, in_turn
from .peers import OURS, Peer, open_peer
from .peers.sqlite import SQLite
from .runner import Settings, folder_of

__all__ = ["GROUP", "HISTOGRAM", "LIST", "STARTUP", "row_name", "run_page"]

GROUP = "page"
LIST, HISTOGRAM, STARTUP = "first list", "histogram", "start of the server"
ROWS = (LIST, HISTOGRAM, STARTUP)
OTHER = "SQLite"
COLUMNS = 118  # that cover a range which may begin and end inside of one
NOTE = "through HTTP, as JSON; SQLite in its own process"
ROOT = Path(__file__).parent.parent


def row_name(name: str, events: int) -> str:
    """Return the name of a row."""
    return f"{name}, {events:,} events"


def run_page(settings: Settings) -> Iterator[Figures]:
    """Run the wanted rows, in a store of each size."""
    for size in sorted({settings.events, settings.largest} - {0}):
        names = [name for name in ROWS if settings.wants(GROUP, row_name(name, size))]
        if names:
            yield from _rows(settings, size, names)


def _rows(settings: Settings, size: int, names: list[str]) -> Iterator[Figures]:
    settings.say(f"The page: loading {size:,} events")
    folders = _loaded(settings, size)
    settings.say(f"The page: {size:,} events")
    asks: dict[str, tuple[Callable[[Server], object], Callable[[SQLite], object]]]
    asks = {LIST: (Server.newest, _list), HISTOGRAM: (Server.histogram, _histogram)}
    with serving(folders[OURS]) as server:
        other = SQLite(folders[OTHER])
        for name in (name for name in asks if name in names):
            page, rows = asks[name]
            if page(server) != rows(other):
                raise AssertionError(f"{name}: the page and SQLite do not agree")
            runs = {
                OURS: partial(Run, partial(page, server)),
                OTHER: partial(Run, partial(rows, other)),
            }
            figures = in_turn(runs, settings.repeat)
            yield Figures(GROUP, row_name(name, size), "ms a query", OURS, figures, NOTE)
        other.close()
    if STARTUP in names:
        times = [_started(folders[OURS]) for _ in range(settings.repeat)]
        note = "from the command to the address that it prints"
        yield Figures(GROUP, row_name(STARTUP, size), "ms", OURS, {OURS: times}, note)


def _loaded(settings: Settings, size: int) -> dict[str, Path]:
    """Return the folders of the peers, with so many events."""
    folders = {name: folder_of(settings, f"{GROUP}-{size}", name) for name in (OURS, OTHER)}
    peers: list[Peer] = []
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        peers.append(open_peer(name, folder))
    for batch in batches(made_events(size)):
        for peer in peers:
            peer.save_many(batch)
    for peer in peers:
        peer.finish()
        peer.close()
    return folders


# -- the page -------------------------------------------------------------------------------------


class Server:
    """The command `serve`, and a client."""

    def __init__(self, link: str) -> None:
        parts = urlsplit(link)
        self._host, self._port = parts.hostname or "", parts.port
        self._headers = {"Authorization": f"Bearer {parts.query.partition('=')[2]}"}

    def get(self, call: str) -> Any:
        """Return an answer, on a connection of its own."""
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.request("GET", f"/api/{call}", headers=self._headers)
        found = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def newest(self) -> list[str]:
        """Return the ids of the newest events."""
        return [event["id"] for event in self.get("search?limit=100")["events"]]

    def histogram(self) -> list[tuple[float, int]]:
        """Return the columns that have events."""
        found = self.get("histogram")
        return [pair for pair in zip(found["starts"], found["all"], strict=True) if pair[1]]


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve the store of a folder."""
    command = [sys.executable, "-m", "lmdbstore", "serve", "--port", "0"]
    command += ["--db", str(folder / "events")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            assert child.stdout is not None
            yield Server(child.stdout.readline().strip())
        finally:
            child.terminate()


def _started(folder: Path) -> float:
    """Return how long a start takes, in seconds."""
    begin = time.perf_counter()
    with serving(folder):
        return time.perf_counter() - begin


# -- SQLite ---------------------------------------------------------------------------------------


def _list(peer: SQLite) -> list[str]:
    return [event.id for event in peer.newest(100)]


def _histogram(peer: SQLite) -> list[tuple[float, int]]:
    span = peer.count() * STEP
    seconds = next(
        step for step in (2, 5, 10, 15, 30, 60, 120, 300, 600, 900) if span / step <= 118
    )
    return list(peer.histogram(seconds))
