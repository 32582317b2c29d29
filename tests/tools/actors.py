"""Stores that answer commands with plain data, here or in another process."""

from __future__ import annotations

import socket
import subprocess
import sys
import traceback
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Self

import pytest

from lmdbstore import Event, EventStoreException, LMDBEventStore
from lmdbstore.read import executor, found, live, plan
from lmdbstore.read.counts import matches
from tests.tools.children import ROOT
from tests.tools.sealing import TINIEST, make_tiny_runs

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lmdbstore import EventStore, EventView, Facet, Search

__all__ = ["Actor", "Process", "make_small"]

HANG = 120  # seconds; ends a hang, decides nothing
SMALL = {
    (executor, "FIRST_PAGE"): 2,
    (executor, "LONGEST_PAGE"): 5,
    (executor, "LONGEST_PATTERN"): 4,
    (executor, "KEY_CHUNK"): 3,
    (live, "CHUNK_BYTES"): 9_000,  # two of the long contents
    (found, "MOST_RUNS"): 2,
    (matches, "LIVE_CHUNK"): 3,
    (plan, "MERGED"): 2,
}


def make_small(patch: pytest.MonkeyPatch, *, tiny_runs: bool) -> None:
    """Let pages have few events, and runs if `tiny_runs`."""
    for (module, name), size in SMALL.items():
        assert hasattr(module, name)
        patch.setattr(module, name, size)
    if tiny_runs:
        make_tiny_runs(patch, TINIEST)


class Actor:
    """A store with its snapshots and searches; it answers commands with plain data."""

    def __init__(self, store: EventStore | None = None) -> None:
        self.views: dict[int | None, EventView] = {} if store is None else {None: store}
        self.blocks: dict[int, AbstractContextManager[EventView]] = {}
        self.searches: dict[int, Search] = {}

    @property
    def store(self) -> Any:
        return self.views[None]

    def do(self, command: str, *arguments: Any) -> Any:
        try:
            return getattr(self, command)(*arguments)
        except EventStoreException as error:
            return type(error).__name__

    def open(self, path: str, options: dict[str, Any]) -> None:
        self.__init__(LMDBEventStore(path, **options))  # type: ignore[misc]

    def close(self) -> None:
        """Close the store; keep its snapshots and searches, to check that they have ended, too."""
        if None in self.views:
            self.store.close()

    def save(self, event: Event) -> None:
        self.store.save(event)

    def save_many(self, events: list[Event]) -> int:
        number: int = self.store.save_many(iter(events))
        return number

    def save_noted(self, noted: tuple[list[Event], tuple[str, str]]) -> int:
        number: int = self.store.save_many(iter(noted[0]), checkpoint=noted[1])
        return number

    def save_passing(self, passing: tuple[list[Event], str]) -> str:
        return repr(self.store.save_many(iter(passing[0]), on_duplicate=passing[1]))

    def save_one_passing(self, passing: tuple[Event, str]) -> None:
        self.store.save(passing[0], on_duplicate=passing[1])

    def delete(self, event_id: str) -> None:
        self.store.delete(event_id)

    def delete_many(self, ids: list[str]) -> int:
        number: int = self.store.delete_many(iter(ids))
        return number

    def seal(self) -> None:
        if isinstance(self.store, LMDBEventStore):
            self.store.seal()

    def get(self, view: int | None, event_id: str) -> Event:
        return self.views[view].get(event_id)

    def get_or_none(self, view: int | None, event_id: str) -> Event | None:
        return self.views[view].get(event_id, None)

    def contains(self, view: int | None, event_id: str) -> bool:
        return event_id in self.views[view]

    def checkpoint(self, view: int | None, name: str) -> str | None:
        return self.views[view].checkpoint(name)

    def checkpoints(self, view: int | None, prefix: str) -> list[tuple[str, str]]:
        return list(self.views[view].checkpoints(prefix).items())

    def length(self, view: int | None) -> int:
        return len(self.views[view])

    def flags(self, view: int | None) -> dict[str, int]:
        return self.views[view].flags()

    def known(self, conditions: dict[str, Any]) -> dict[str, Any]:
        """Return conditions with a position of this store for the number of one."""
        if "at" not in conditions:
            return conditions
        identity = str(self.store.position()).partition(":")[2]
        return {**conditions, "at": f"{conditions['at']}:{identity}"}

    def sources(self, view: int | None) -> dict[str, int]:
        return self.views[view].sources()

    def histogram(
        self, view: int | None, bucket: float | str, conditions: dict[str, Any]
    ) -> list[tuple[float, int]]:
        return self.views[view].histogram(bucket, "Europe/Berlin", **self.known(conditions))

    def facets(self, view: int | None, limit: int, conditions: dict[str, Any]) -> dict[str, Facet]:
        return self.views[view].facets(limit=limit, **self.known(conditions))

    def count(self, view: int | None, conditions: dict[str, Any]) -> int:
        return self.views[view].count(**self.known(conditions))

    def explain(self, view: int | None, conditions: dict[str, Any]) -> bool:
        return bool(self.views[view].explain(**self.known(conditions)))

    def around(
        self, view: int | None, event_id: str, numbers: tuple[int, int], same: bool
    ) -> list[Event]:
        return self.views[view].around(event_id, *numbers, same_source=same)

    def search(self, view: int | None, conditions: dict[str, Any]) -> list[tuple[Event, str]]:
        """Return each event with the token after it."""
        search = self.views[view].search(**self.known(conditions))
        return [(event, str(search.token)) for event in search]

    def begin(self, number: int, view: int | None, conditions: dict[str, Any]) -> str | None:
        self.searches[number] = self.views[view].search(**self.known(conditions))
        return self.searches[number].token

    def read(self, number: int, most: int) -> tuple[list[tuple[Event, str]], bool]:
        """Continue a search; return the events with their tokens, and whether it ended."""
        search = self.searches[number]
        found: list[tuple[Event, str]] = []
        for _ in range(most):
            try:
                event = next(search)
            except StopIteration:
                return found, True
            found.append((event, str(search.token)))
        return found, False

    def snapshot(self, number: int) -> None:
        block = self.store.snapshot()
        self.views[number] = block.__enter__()
        self.blocks[number] = block

    def release(self, number: int) -> None:
        self.blocks.pop(number).__exit__(None, None, None)


class Process:
    """An actor in a process of its own, which answers over a socket."""

    def __init__(self, *, tiny_runs: bool) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            call = f"serve({theirs.fileno()}, tiny_runs={tiny_runs})"
            code = f"from tests.tools.actors import serve; {call}"
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
            )
        self._pipe: Any = Connection(ours.detach())

    def do(self, command: str, *arguments: Any) -> Any:
        self._pipe.send((command, *arguments))
        assert self._pipe.poll(HANG), "the other process hangs"
        return self._pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        try:
            self._process.wait(HANG)
        finally:
            self._process.kill()
            self._process.wait()


def serve(descriptor: int, *, tiny_runs: bool) -> None:
    """Answer commands until there are no more; the other process runs this."""
    make_small(pytest.MonkeyPatch(), tiny_runs=tiny_runs)
    actor = Actor()
    pipe: Any = Connection(descriptor)
    while True:
        try:
            command = pipe.recv()
        except EOFError:
            return
        try:
            answer = actor.do(*command)
        except Exception:
            answer = traceback.format_exc()
        pipe.send(answer)
