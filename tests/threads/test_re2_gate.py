"""At a fork, and at the interpreter's exit, no thread is inside RE2."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, EventReadException, LMDBEventStore
from lmdbstore.threads import re2_gate as leaving
from lmdbstore.threads.re2_gate import _Engine, _leave, run_engine
from tests.tools.children import in_child

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 60  # seconds; ends a hang, decides nothing


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo the end of the interpreter after each test."""
    monkeypatch.setattr(leaving, "_engine", _Engine())
    monkeypatch.setattr(leaving, "HELD", 0.0)


class Held:
    """Work inside RE2 that ends when it is released."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.inside.set()
        assert self.go.wait(LONG)
        return "done"


def test_the_exit_waits_for_threads_in_re2_and_refuses_later_ones(
    store: LMDBEventStore,
) -> None:
    store.save(Event("a", content="found"))
    held = Held()
    with ThreadPoolExecutor(2) as pool:
        inside = pool.submit(run_engine, held)
        assert held.inside.wait(LONG)
        releasing = threading.Timer(0.2, held.go.set)
        releasing.start()
        _leave()
        releasing.join()
        assert held.go.is_set(), "the exit did not wait"
        assert inside.result(LONG) == "done"
        refused(pool, store.count)
        refused(pool, store.explain)
        assert pool.submit(store.count).result(LONG) == 1
    assert store.count(match="found$") == 1, "what the program does at its exit was kept out"


def refused(pool: ThreadPoolExecutor, ask: Callable[..., object]) -> None:
    with pytest.raises(EventReadException, match="the interpreter is ending"):
        pool.submit(ask, match="found$").result(LONG)


def test_a_half_read_search_of_another_thread_is_refused_at_the_exit(store: LMDBEventStore) -> None:
    store.save_many(Event(f"e{n}", content="found") for n in range(3000))
    search = store.search(match="found$")
    next(search)
    _leave()
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(EventReadException, match="the interpreter is ending"),
    ):
        pool.submit(list, search).result(LONG)
    assert len(list(search)) > 2000


def test_a_fork_waits_for_threads_in_re2_and_the_child_has_its_own_gate(
    store: LMDBEventStore,
) -> None:
    """A child that inherited locks of RE2 that another thread held would wait for ever."""
    store.save(Event("a", content="found"))
    held = Held()

    def child() -> None:
        assert held.go.is_set(), "the fork did not wait"
        _leave()
        assert store.count(match="found$") == 1
        with ThreadPoolExecutor(1) as pool:
            refused(pool, store.count)

    with ThreadPoolExecutor(1) as pool:
        inside = pool.submit(run_engine, held)
        assert held.inside.wait(LONG)
        releasing = threading.Timer(0.2, held.go.set)
        releasing.start()
        try:
            in_child(child)
        finally:
            held.go.set()
            releasing.join()
        assert inside.result(LONG) == "done"
        assert pool.submit(store.count, match="found$").result(LONG) == 1
