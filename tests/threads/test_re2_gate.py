"""Leaving: at a fork, and at the interpreter's exit, nobody is inside of RE2."""

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
    """Let each test end with an interpreter that is not ending."""
    monkeypatch.setattr(leaving, "_engine", _Engine())
    monkeypatch.setattr(leaving, "HELD", 0.0)


class Held:
    """A piece of work inside of RE2 that ends when it is let go."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.inside.set()
        assert self.go.wait(LONG)
        return "done"


def test_the_exit_waits_for_who_is_inside_and_keeps_out_who_comes_later(
    store: LMDBEventStore,
) -> None:
    store.save(Event("a", content="found"))
    held = Held()
    with ThreadPoolExecutor(2) as pool:
        inside = pool.submit(run_engine, held)
        assert held.inside.wait(LONG)
        letting_go = threading.Timer(0.2, held.go.set)
        letting_go.start()
        _leave()
        letting_go.join()
        assert held.go.is_set(), "the exit did not wait"
        assert inside.result(LONG) == "done"
        refused(pool, store.count)
        refused(pool, store.explain)
        assert pool.submit(store.count).result(LONG) == 1
    assert store.count(match="found$") == 1, "what the program does at its exit was kept out"


def refused(pool: ThreadPoolExecutor, ask: Callable[..., object]) -> None:
    with pytest.raises(EventReadException, match="the interpreter is ending"):
        pool.submit(ask, match="found$").result(LONG)


def test_a_search_that_is_half_read_at_the_exit_is_kept_out(store: LMDBEventStore) -> None:
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


def test_a_fork_waits_for_who_is_inside_and_its_child_has_a_gate_of_its_own(
    store: LMDBEventStore,
) -> None:
    """A child that inherited the locks of RE2 as another thread held them would wait for ever."""
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
        letting_go = threading.Timer(0.2, held.go.set)
        letting_go.start()
        try:
            in_child(child)
        finally:
            held.go.set()
            letting_go.join()
        assert inside.result(LONG) == "done"
        assert pool.submit(store.count, match="found$").result(LONG) == 1
