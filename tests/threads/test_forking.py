"""Forking: the order in which threads are kept out, and what is renewed in a child."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore
from lmdbstore.contract.commits.paged import Page
from lmdbstore.contract.query import Position
from lmdbstore.contract.search import Search
from lmdbstore.threads import forking
from tests.tools.children import in_child

if TYPE_CHECKING:
    from collections.abc import Callable


def test_stores_are_barred_before_re2_and_renewed_after_it() -> None:
    """A thread calls RE2 inside the gate of a store: the other order would be a deadlock."""
    assert tuple(forking._parts) != ()
    assert set(forking._parts) == set(forking.ORDER)
    assert forking.ORDER.index("stores") < forking.ORDER.index("re2") < forking.ORDER.index("locks")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_beside_searches_for_patterns_ends(store: LMDBEventStore) -> None:
    """Each of the threads is inside RE2 nearly all the time, inside the gate of the store."""
    store.save_many(Event(f"e{n}", timestamp=float(n), content="x" * 200) for n in range(5000))
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            assert list(store.search(match="zzz[0-9]+qq")) == []

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            in_child(lambda: None)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_part_that_fails_keeps_no_other_from_being_renewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renewed: list[str] = []

    def renew(name: str) -> Callable[[], object]:
        def work() -> None:
            renewed.append(name)
            if name == "re2":
                raise ZeroDivisionError

        return work

    parts = {name: part._replace(renew=renew(name)) for name, part in forking._parts.items()}
    monkeypatch.setattr(forking, "_parts", parts)
    before = forking._lock
    with pytest.raises(ZeroDivisionError):
        forking._after_in_child()
    assert renewed == ["locks", "files", "re2", "stores"]
    assert forking._lock is not before


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_search_whose_page_another_thread_opened_at_the_fork_goes_on_in_the_child() -> None:
    began, go = threading.Event(), threading.Event()
    pages = iter(["a", "b"])

    def next_page() -> Page[Any, Any] | None:
        if not began.is_set():
            began.set()
            go.wait()
        name = next(pages, None)
        return None if name is None else Page([Event(name)], lambda _: Position(0.0, 1))

    search = Search(next_page)
    thread = threading.Thread(target=next, args=[search])
    thread.start()
    began.wait()
    try:

        def work() -> None:
            assert [event.id for event in search] == ["a", "b"]

        in_child(work)
    finally:
        go.set()
        thread.join()
