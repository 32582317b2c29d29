"""The contract of flags of which an event has any, or none."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import InvalidQuery
from lmdbstore.testing.helpers import LONE, ids, save_all

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.types import Order

EVENTS = [
    Event(
        id=f"{n}",
        source="door" if n % 4 else "roof",
        timestamp=float(n // 3),
        tags=[tag for tag, each in (("a", 2), ("b", 3), ("c", 5), ("", 7)) if n % each == 0],
        content="opened" if n % 6 else "closed",
    )
    for n in range(60)
]
FLAGS = [None, [], ["a"], ["b", "c"], ["", "absent"], ["absent"]]
WRONG = {"text": "door", "number": 7, "of-a-number": ["a", 7], "surrogate": [LONE], "bytes": b"a"}


def expected(
    flags: list[str] | None,
    any_flags: list[str] | None,
    not_flags: list[str] | None,
    source: str | None,
    match: str | None,
) -> list[Event]:
    """Return what a search of `EVENTS` must find, by the simplest code."""
    return [
        event
        for event in EVENTS
        if set(flags or []) <= set(event.tags)
        and (not any_flags or set(any_flags) & set(event.tags))
        and not set(not_flags or []) & set(event.tags)
        and source in (None, event.source)
        and (match is None or match in event.content)
    ]


class FlagsContract:
    """`any_flags` and `not_flags`, beside `flags`."""

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("match", [None, "close"])
    def test_every_combination_of_flags(
        self, store: EventStore, order: Order, match: str | None
    ) -> None:
        store.save_many(EVENTS)
        for flags, some, without, source in product(FLAGS, FLAGS, FLAGS, [None, "roof"]):
            wanted = ids(expected(flags, some, without, source, match))
            wanted = wanted if order == "asc" else wanted[::-1]
            named: dict[str, Any] = {"any_flags": some, "not_flags": without, "source": source}
            named |= {"flags": flags, "match": match, "order": order}
            assert ids(store.search(**named)) == wanted, named
            assert store.count(**named) == len(wanted), named
            assert ids(store.search(**named, limit=3)) == wanted[:3], named
            assert store.explain(**named).strip()
            if order == "asc":
                del named["order"]
                times = Counter(float(int(id_) // 3) for id_ in wanted)
                pairs = [(time, number) for time, number in store.histogram(1, **named) if number]
                assert pairs == sorted(times.items()), named
                facets = store.facets(["source"], **named)
                assert sum(facets["source"].values.values()) == len(wanted), named

    def test_pages_go_on_where_they_ended(self, store: EventStore) -> None:
        store.save_many(EVENTS)
        for order in ("asc", "desc"):
            named: dict[str, Any] = {"any_flags": ["b", ""], "not_flags": ["c"], "order": order}
            found: list[Event] = []
            after = None
            while True:
                search = store.search(**named, limit=2, after=after)
                page = list(search)
                if not page:
                    break
                found, after = found + page, search.token
            assert found == list(store.search(**named))
            assert len(found) == 21

    def test_flags_may_be_any_collection_of_strings(self, store: EventStore) -> None:
        save_all(store, EVENTS)
        for flags in (["b", "c"], ("c", "b"), {"b", "c"}, iter(["b", "c", "b"])):
            assert store.count(any_flags=flags) == 28
        for flags in (["b", "c"], ("c", "b"), {"b", "c"}, iter(["b", "c", "b"])):
            assert store.count(not_flags=flags) == 32

    def test_a_long_flag_and_one_that_begins_so(self, store: EventStore) -> None:
        long = "x" * 600
        save_all(store, [Event(id="1", tags=[long]), Event(id="2", tags=[long + "y", "z"])])
        assert ids(store.search(any_flags=[long, "absent"])) == ["1"]
        assert ids(store.search(not_flags=[long])) == ["2"]

    def test_they_work_in_a_snapshot(self, store: EventStore) -> None:
        store.save_many(EVENTS)
        with store.snapshot() as view:
            store.delete_many(event.id for event in EVENTS)
            assert view.count(any_flags=["b", "c"], not_flags=["a"]) == 14
        assert store.count(any_flags=["b", "c"]) == 0

    def test_what_is_saved_or_deleted_later(self, store: EventStore) -> None:
        store.save_many(EVENTS)
        search = store.search(any_flags=["b", "c"], not_flags=["a"])
        store.save(Event(id="new", timestamp=99.0, tags=["b"]))
        assert "new" not in ids(search)
        assert "new" in ids(store.search(any_flags=["b", "c"], not_flags=["a"]))
        store.save(Event(id="new", timestamp=99.0, tags=["a", "b"]), on_duplicate="replace")
        assert "new" not in ids(store.search(any_flags=["b", "c"], not_flags=["a"]))

    @pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
    @pytest.mark.parametrize("name", ["any_flags", "not_flags"])
    def test_what_are_no_flags_is_refused(self, store: EventStore, name: str, wrong: Any) -> None:
        for ask in (store.search, store.count, store.explain):
            asked: Any = ask
            with pytest.raises(InvalidQuery, match=rf"^{name}: "):
                asked(**{name: wrong})
