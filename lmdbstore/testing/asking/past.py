"""The contract of `at`: what a store held at a position, without what was deleted since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.counting.facets import Facet
from lmdbstore.contract.event import Event
from lmdbstore.errors import InvalidQuery
from lmdbstore.testing.helpers import ids

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore


def event(n: int) -> Event:
    """Return an event; times fall as numbers rise."""
    return Event(str(n), f"s{n % 2}", -float(n), ["all", f"f{n % 3}"], f"text {n}")


class PastContract:
    """Searches and counts at a position."""

    def test_what_was_saved_later_does_not_show(self, store: EventStore) -> None:
        """Also if its time is before that of all others, and whatever the conditions are."""
        places = [store.position()]
        for n in range(12):
            store.save(event(n))
            places.append(store.position())
        conditions: list[dict[str, Any]] = [
            {},
            {"flags": ["all"]},
            {"flags": ["f1"]},
            {"source": "s1"},
            {"match": "[0-5]$"},
            {"ts_start": -7.0, "ts_end": -2.0},
        ]
        for number, place in enumerate(places):
            for given in conditions:
                wanted = [one for one in store.search(**given) if int(one.id) < number]
                assert list(store.search(**given, at=place)) == wanted
                newest = list(store.search(**given, at=place, order="desc", limit=3))
                assert newest == wanted[: -4 if len(wanted) > 3 else None : -1]
                assert store.count(**given, at=place) == len(wanted)
                assert store.count(**given, at=place, limit=2) == min(len(wanted), 2)
                pairs = store.histogram(2.5, **given, at=place)
                assert sum(events for _, events in pairs) == len(wanted)
                values = store.facets(["source"], **given, at=place)["source"].values
                assert sum(values.values()) == len(wanted)
                assert store.explain(**given, at=place).strip()

    def test_what_was_deleted_or_replaced_since_is_gone(self, store: EventStore) -> None:
        store.save_many(map(event, range(6)))
        place = store.position()
        store.delete("2")
        store.save(event(4)._replace(content="new"), on_duplicate="replace")
        store.save(event(7))
        assert ids(store.search(at=place)) == ["5", "3", "1", "0"]
        assert store.count(at=place) == len(list(store.search(at=place, damaged="skip"))) == 4
        assert store.histogram(10, at=place) == [(-10.0, 3), (0.0, 1)]
        assert store.facets(["source"], at=place) == {"source": Facet({"s1": 3, "s0": 1}, 0)}

    def test_pages_at_a_position(self, store: EventStore) -> None:
        store.save_many(map(event, range(0, 20, 2)))
        place = store.position()
        found, token = list[str](), None
        for n in range(1, 20, 4):
            store.save(event(n))
            search = store.search(at=place, after=token, limit=3)
            found += ids(search)
            token = search.token
        assert found == [str(n) for n in range(18, -1, -2)]

    def test_a_snapshot_knows_the_positions_of_its_past(self, store: EventStore) -> None:
        store.save(event(1))
        place = store.position()
        store.save(event(2))
        with store.snapshot() as view:
            store.save(event(3))
            later = store.position()
            assert ids(view.search(at=place)) == ["1"]
            assert view.histogram(10, at=place) == [(-10.0, 1)]
            with pytest.raises(InvalidQuery, match=r"^at: .* is after the last event"):
                view.search(at=later)

    def test_a_large_store_at_a_position(self, store: EventStore) -> None:
        store.save_many(Event(str(n), timestamp=float(n), tags=["x"]) for n in range(0, 3000, 2))
        place = store.position()
        store.save_many(Event(str(n), timestamp=float(n), tags=["x"]) for n in range(1, 3000, 2))
        conditions: list[dict[str, Any]] = [{}, {"flags": ["x"]}]
        for given in conditions:
            assert store.count(at=place, **given) == 1500
            assert ids(store.search(at=place, **given)) == [str(n) for n in range(0, 3000, 2)]
            assert store.histogram(1000, at=place, **given) == [(n * 1e3, 500) for n in range(3)]
            assert store.facets(at=place, **given)["flags"] == Facet({"x": 1500}, 0)

    @pytest.mark.parametrize("wrong", [7, "", "start", "1:", "rubbish", b"1:00", f"9:{'00' * 16}"])
    def test_what_is_no_position_is_refused(self, store: EventStore, wrong: Any) -> None:
        store.save(event(1))
        with store.snapshot() as view:
            for one in (store, view):
                for ask in (one.search, one.count, one.explain, one.facets):
                    with pytest.raises(InvalidQuery, match=r"^at: "):
                        ask(at=wrong)
                with pytest.raises(InvalidQuery, match=r"^at: "):
                    one.histogram(1, at=wrong)
