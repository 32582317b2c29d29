"""What a batch of changes does is what the store in memory does."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import DuplicateEvent, Event, EventNotFound, MemoryEventStore
from lmdbstore.sql.texts import key
from lmdbstore.sql.writing.changes import SAVES, Batch, Change, Remove, RemoveNumbered, RemoveOne
from tests.tools.properties import examples

IDS = st.sampled_from("abcde")
MANY = st.lists(IDS, max_size=5)
CALLS = st.one_of(
    st.tuples(st.sampled_from(["raise", "ignore", "replace"]), MANY),
    st.tuples(st.just("delete"), IDS.map(list)),
    st.tuples(st.just("delete_many"), MANY),
)


def outcome_of(store: MemoryEventStore, kind: Any, ids: list[str], events: list[Event]) -> Any:
    try:
        if kind == "delete":
            return store.delete(ids[0])
        if kind == "delete_many":
            return store.delete_many(ids)
        return repr(store.save_many(events, on_duplicate=kind, checkpoint=("kind", kind)))
    except (DuplicateEvent, EventNotFound) as error:
        return type(error)


def change_of(kind: Any, ids: list[str], events: list[Event]) -> Change:
    if kind == "delete":
        return RemoveOne(ids)
    if kind == "delete_many":
        return Remove(list(dict.fromkeys(ids)))
    return SAVES[kind](events, {"kind": kind})


@given(MANY, st.lists(CALLS, max_size=6))
@examples(300)
def test_a_batch_is_as_one_call_after_the_other(
    there: list[str], calls: list[tuple[Any, list[str]]]
) -> None:
    store = MemoryEventStore()
    store.save_many((Event(name, timestamp=1.0) for name in there), on_duplicate="ignore")
    present = {name: number for number, name in enumerate(dict.fromkeys(there), 1)}
    batch = Batch({key(name): number for name, number in present.items()})
    for turn, (kind, ids) in enumerate(calls):
        events = [Event(name, timestamp=1.0, content=f"{turn} {n}") for n, name in enumerate(ids)]
        change = change_of(kind, ids, events)
        error = change.apply(batch)
        expected = outcome_of(store, kind, ids, events)
        if error is not None:
            assert type(error) is expected
        elif isinstance(change, Remove):
            assert expected in {None, change.removed}
        else:
            assert repr(change.result) == expected  # type: ignore[attr-defined]  # of a save
    left = [Event(name, timestamp=1.0) for name in present if name not in batch.gone]
    assert [*left, *batch.new.values()] == list(store.search())
    assert batch.checkpoints.get("kind") == store.checkpoint("kind")


def test_an_event_is_removed_by_its_number() -> None:
    batch = Batch({"a": 1, "b": 2})
    change = RemoveNumbered({"a": 1, "b": 1, "c": 1})
    assert change.apply(batch) is None
    assert (change.removed, batch.gone) == (1, {"a"})
    again = RemoveNumbered({"a": 1})
    again.apply(batch)
    assert again.removed == 0


def test_a_refused_change_leaves_nothing() -> None:
    batch = Batch({"a": 1})
    change = SAVES["raise"]([Event("b"), Event("a")], {"x": "y"})
    assert type(change.apply(batch)) is DuplicateEvent
    assert not batch.changes_something
