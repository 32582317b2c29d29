"""The contract of the neighbours of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import EventNotFound, InvalidQuery
from lmdbstore.testing.helpers import ids

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore

# Two sources side by side; three events have one time.
EVENTS = [
    Event(
        id=f"{n}", source="door" if n % 2 else "roof", timestamp=float(n // 3), content=f"text {n}"
    )
    for n in range(30)
]


class AroundContract:
    """`around`: an event between its neighbours."""

    def test_neighbours_are_of_the_source_of_the_event(self, store: EventStore) -> None:
        store.save_many(EVENTS)
        assert ids(store.around(EVENTS[15], 2, 3)) == ["11", "13", "15", "17", "19", "21"]
        assert ids(store.around("15", before=0, after=1)) == ["15", "17"]
        assert ids(store.around(EVENTS[15])) == [f"{n}" for n in range(5, 27, 2)]

    def test_or_of_any_source(self, store: EventStore) -> None:
        """In the order of the timeline, among equal times too."""
        store.save_many(EVENTS)
        assert ids(store.around("15", 2, 3, same_source=False)) == [f"{n}" for n in range(13, 19)]

    def test_there_are_fewer_at_the_ends(self, store: EventStore) -> None:
        store.save_many(EVENTS)
        assert ids(store.around("1", 5, 1)) == ["1", "3"]
        assert ids(store.around("29", 1, 5)) == ["27", "29"]
        assert ids(store.around("15", 0, 0)) == ["15"]
        assert ids(store.around("15", None, 0)) == [f"{n}" for n in range(1, 16, 2)]

    def test_the_event_is_the_stored_one(self, store: EventStore) -> None:
        uuid = UUID(int=7)
        store.save_many([*EVENTS, Event(id=str(uuid), source="door", timestamp=4.5)])
        other = EVENTS[15]._replace(source="roof", timestamp=0.0, content="other")
        assert store.around(other, 0, 1) == [EVENTS[15], EVENTS[17]]
        assert ids(store.around(uuid, 1, 1)) == ["13", str(uuid), "15"]

    def test_a_snapshot_has_one_state(self, store: EventStore) -> None:
        store.save_many(EVENTS)
        with store.snapshot() as view:
            store.delete_many(["13", "15"])
            assert ids(view.around("15", 1, 1)) == ["13", "15", "17"]
        assert ids(store.around("17", 1, 1)) == ["11", "17", "19"]

    def test_an_event_that_is_not_there_has_no_neighbours(self, store: EventStore) -> None:
        store.save_many(EVENTS)
        for absent in ("absent", Event(id="absent"), UUID(int=1)):
            with pytest.raises(EventNotFound):
                store.around(absent)

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("event", 7),
            ("event", None),
            ("event", b"1"),
            ("before", -1),
            ("before", 1.0),
            ("before", True),
            ("after", "1"),
            ("after", EVENTS[1]),
            ("same_source", None),
            ("same_source", 1),
            ("timeout", -1.0),
        ],
    )
    def test_bad_arguments_are_refused(self, store: EventStore, name: str, wrong: Any) -> None:
        store.save_many(EVENTS)
        arguments: Any = {"event": "1"} | {name: wrong}
        with pytest.raises(InvalidQuery, match=name):
            store.around(**arguments)
