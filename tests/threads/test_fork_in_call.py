"""A signal handler forks in the middle of a call, and its child returns into that call.

The call goes on in the parent as if nothing had happened: it keeps its slot in LMDB's reader table,
and its write stays announced. In the child it ends with an exception that says what to do.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    Event,
    EventReadException,
    EventWriteException,
    LMDBEventStore,
    StoreClosed,
    StoreOpenError,
)
from lmdbstore.processes.barrier import Barrier
from lmdbstore.read import one
from lmdbstore.records.run import Run
from lmdbstore.threads.gate import Gate
from lmdbstore.threads.run_locked import run_locked
from lmdbstore.write.transaction import WriteTransaction
from tests.tools.children import LONG, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.surroundings,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

NUMBER = 2000  # events, most of which are sealed
PATTERN = "content 1[0-9]+ "
FOUND = 1 + 10 + 100 + 1000 - 1  # those with more digits than one


@pytest.fixture
def filled(store: LMDBEventStore) -> LMDBEventStore:
    store.save_many(
        Event(f"e{n}", timestamp=float(n), content=f"content {n} {'x' * 99}") for n in range(NUMBER)
    )
    return store


class Forking:
    """A signal handler that forks, and what was seen of its child."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: Callable[[], object]) -> None:
        """Compare `state` before the fork and when the child has ended."""
        self._monkeypatch, self._state = monkeypatch, state
        self.child: int | None = None
        self.status: int | None = None
        self.states: list[object] = []

    def at(self, kind: Any, name: str) -> None:
        """Fork the first time that a function returns."""
        real = getattr(kind, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            found = real(*args, **options)
            if self.child is None:
                signal.raise_signal(signal.SIGUSR1)
            return found

        self._monkeypatch.setattr(kind, name, wrapped)

    def handle(self, *_: object) -> None:
        self.states.append(self._state())
        self.child = os.fork()
        if self.child:
            try:
                until(self._has_ended, "the child does not end")
            except AssertionError:
                os.kill(self.child, signal.SIGKILL)
                raise
            self.states.append(self._state())

    def _has_ended(self) -> bool:
        pid, status = os.waitpid(self.child or 0, os.WNOHANG)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def run(self, call: Callable[[], object], in_child: Callable[[BaseException], None]) -> object:
        """Return what the call returns in the parent; check its exception in the child."""
        result: object = None
        raised: BaseException = AssertionError("the call returned")
        try:
            result = call()
        except BaseException as error:
            raised = error
        assert self.child is not None, raised
        if self.child:
            assert self.status == 0
            assert self.states[0] == self.states[1]
            return result
        status = 1
        try:
            in_child(raised)
            status = 0
        except BaseException:
            traceback.print_exception(raised)
            traceback.print_exc()
        finally:
            os._exit(status)


@pytest.fixture
def forking(filled: LMDBEventStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forking]:
    environment = filled._session._environment

    def state() -> object:
        return environment.lmdb.readers(), environment.barrier.byte[0]

    found = Forking(monkeypatch, state)
    before = signal.signal(signal.SIGUSR1, found.handle)
    yield found
    signal.signal(signal.SIGUSR1, before)


def refused(store: LMDBEventStore) -> None:
    for call in (lambda: store.get("e1"), lambda: store.save(Event()), store.snapshot):
        with pytest.raises(StoreOpenError, match=r"forked in the middle of a read.*started anew"):
            call()


def search(store: Any) -> int:
    return len(list(store.search(match=PATTERN)))


@pytest.mark.parametrize(
    ("call", "kind", "name"),
    [
        (search, Run, "check_contents"),  # a page is on the map, and is searched by RE2
        (lambda store: store.count(match=PATTERN), Run, "check_contents"),
        (lambda store: len(list(store.search(flags=[], limit=FOUND))), Run, "check_front"),
        (lambda store: FOUND * (store.get("e7").id == "e7"), one, "event_at"),
    ],
)
def test_a_read_ends_in_the_child_and_goes_on_in_the_parent(
    filled: LMDBEventStore, forking: Forking, call: Any, kind: Any, name: str
) -> None:
    forking.at(kind, name)

    def in_child(error: BaseException) -> None:
        assert isinstance(error, EventReadException)
        assert "forked in the middle of a read" in str(error)
        refused(filled)
        filled.close()

    assert forking.run(lambda: call(filled), in_child) == FOUND
    filled.save(Event("later"))
    assert search(filled) == FOUND


def test_the_child_waits_for_no_lock_that_another_thread_had(
    filled: LMDBEventStore, forking: Forking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that waits at the gate has its lock for moments, also when the gate is barred."""
    forking.at(Run, "check_contents")
    gate, held, go = filled._session._environment.gate, threading.Event(), threading.Event()
    bar, unbar = Gate.bar, Gate.unbar

    def hold() -> None:
        held.set()
        assert go.wait(LONG)

    thread = threading.Thread(target=run_locked, args=[gate._mutex, hold])

    def barred(self: Gate, *args: Any, **options: Any) -> None:
        bar(self, *args, **options)
        if self is gate:
            thread.start()
            assert held.wait(LONG)

    def unbarred(self: Gate) -> None:
        go.set()
        unbar(self)

    monkeypatch.setattr(Gate, "bar", barred)
    monkeypatch.setattr(Gate, "unbar", unbarred)

    def in_child(error: BaseException) -> None:
        assert isinstance(error, EventReadException)

    assert forking.run(lambda: search(filled), in_child) == FOUND
    monkeypatch.undo()
    thread.join()


def test_a_child_that_uses_the_store_in_the_handler_is_refused(
    filled: LMDBEventStore, forking: Forking
) -> None:
    forking.at(Run, "check_contents")
    handle = forking.handle

    def and_use(*_: object) -> None:
        handle()
        if not forking.child:
            refused(filled)

    before = signal.signal(signal.SIGUSR1, and_use)

    def in_child(error: BaseException) -> None:
        assert isinstance(error, EventReadException)

    assert forking.run(lambda: search(filled), in_child) == FOUND
    signal.signal(signal.SIGUSR1, before)


def test_a_snapshot_keeps_its_slot(filled: LMDBEventStore, forking: Forking) -> None:
    forking.at(Run, "check_contents")

    def in_child(error: BaseException) -> None:
        assert isinstance(error, StoreClosed)
        assert "belongs to the parent" in str(error)
        refused(filled)

    with filled.snapshot() as view:
        assert forking.run(lambda: view.count(match=PATTERN), in_child) == FOUND
        for n in range(20):
            filled.delete(f"e{n}")
        assert view.count(match=PATTERN) == FOUND


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Barrier, "lock"),  # the transaction has not begun
        (WriteTransaction, "begin"),
        (WriteTransaction, "put"),
    ],
)
def test_a_write_fails_in_the_child_and_goes_on_in_the_parent(
    filled: LMDBEventStore, forking: Forking, kind: Any, name: str
) -> None:
    forking.at(kind, name)

    def in_child(error: BaseException) -> None:
        assert isinstance(error, EventWriteException)
        assert "forked in the middle of a write" in str(error)
        assert "e1" in filled

    forking.run(lambda: filled.save(Event("new")), in_child)
    assert len(forking.states) == 2
    assert "new" in filled
    assert len(filled) == NUMBER + 1
