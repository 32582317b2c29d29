"""A search that is closed says up to where it has read, and is continued from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, MemoryEventStore
from lmdbstore.read import found
from lmdbstore.read.executor import Executor

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.contract.types import Order

RUNS, EACH = 12, 512
RARE = "[q-r] (70|5000)$"


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_it_is_continued_from_there_with_nothing_lost_or_repeated(
    path: Path, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    monkeypatch.setattr(found, "MOST_RUNS", 2)
    next_part = Executor._next_part
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", "", float(n), [], f"nr {n}") for n in range(RUNS * EACH))
        store.save_many(Event(f"late{n}", "", n * 40.0, [], "late") for n in range(100))
        wanted = [event.id for event in store.search(match=RARE, order=order)]
        assert sorted(wanted) == ["e5000", "e70"]
        places = set()
        for parts in range(1, 40):
            search, read = store.search(match=RARE, order=order), [0]

            def counted(executor: Executor, *arguments: Any) -> Any:
                read[0] += 1  # noqa: B023
                if read[0] == parts:  # noqa: B023
                    search.close()  # noqa: B023
                return next_part(executor, *arguments)

            monkeypatch.setattr(Executor, "_next_part", counted)
            before = [event.id for event in search]
            monkeypatch.setattr(Executor, "_next_part", next_part)
            places.add(search.reached)
            rest = store.search(match=RARE, order=order, after=search.reached)
            assert before + [event.id for event in rest] == wanted
        assert len(places) > 6  # and not only where something was found


def test_it_is_the_token_where_nothing_else_is_known() -> None:
    with MemoryEventStore() as store:
        store.save_many(Event(timestamp=float(n)) for n in range(3))
        search = store.search()
        assert search.reached is search.token is None
        next(search)
        search.close()
        assert search.reached == search.token is not None
