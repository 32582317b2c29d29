"""Theia's side of the contract: the store takes its events, its serialiser takes the store's.

Only `theia.model` and `theia.storeapi` are used, which need only the standard library. The
requirements that the package pins cannot be built on Python 3.12 and later, so it is installed
without them: `pip install --no-deps theia`.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import lmdbstore
from lmdbstore import Event, EventStore, LMDBEventStore, MemoryEventStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

model = pytest.importorskip("theia.model", reason="pip install --no-deps theia")
storeapi = pytest.importorskip("theia.storeapi", reason="pip install --no-deps theia")

METHODS = ["save", "delete", "get", "search", "close"]
STORES = [EventStore, MemoryEventStore, LMDBEventStore]


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[EventStore]:
    with MemoryEventStore() if request.param == "memory" else LMDBEventStore(path) as opened:
        yield opened


def theirs(id_: str | UUID = "a", **fields: Any) -> Any:
    usual = {"source": "/dev/door", "timestamp": 1509989630.5, "tags": ["x", "y"]}
    return model.Event(**{"id": id_, **usual, "content": "Door has been unlocked.", **fields})


def values(event: Any) -> tuple[Any, ...]:
    return (event.id, event.source, event.timestamp, event.tags, event.content)


def through_theia(event: Any) -> Any:
    """Serialise an event and parse it back, as between Theia's client and server."""
    return model.EventParser().parse_event(BytesIO(model.EventSerializer().serialize(event)))


def test_every_method_takes_theias_event(store: EventStore) -> None:
    one, two, three = theirs("1"), theirs("2", tags=["x"]), theirs("3", timestamp=7.0)
    store.save(one)
    assert store.save_many([two, three]) == 2
    assert values(store.get("1")) == values(one)
    assert list(map(values, store.search())) == list(map(values, [three, one, two]))
    assert list(map(values, store.search(after=three))) == list(map(values, [one, two]))
    assert store.count(after=one, order="desc") == 1
    assert store.explain(after=one).strip()
    assert "2" in store
    with store.snapshot() as view:
        assert values(view.get("2")) == values(two)
        assert [event.id for event in view.search(after=one)] == ["2"]
    assert store.flags() == {"x": 3, "y": 2}
    with pytest.raises(lmdbstore.DuplicateEvent):
        store.save(one)
    store.delete(two.id)
    assert len(store) == 2


def test_returned_events_behave_as_theias_events(store: EventStore) -> None:
    """They serialise to the same bytes, and Theia's parser reads the same event from them."""
    event = theirs(content="naïve\n, 𝄞")
    store.save(event)
    for found in (store.get("a"), next(store.search())):
        serialised = model.EventSerializer().serialize(found)
        assert serialised == model.EventSerializer().serialize(event)
        assert values(through_theia(found)) == values(event)


def test_events_parsed_by_theia_are_saved(store: EventStore) -> None:
    """Theia parses missing tags as ['']; the store returns and serialises them unchanged."""
    sent = theirs(tags=[], content="")
    parsed = through_theia(sent)
    assert parsed.tags == [""]
    store.save(parsed)
    assert values(store.get("a")) == values(parsed)
    assert values(through_theia(store.get("a"))) == values(parsed)
    assert [event.id for event in store.search(flags=[""])] == ["a"]


def test_an_event_with_a_uuid_and_a_timestamp_in_text_is_saved(store: EventStore) -> None:
    """Theia's model checks nothing; the returned event has a str and a float, and serialises."""
    event = theirs(UUID("331c531d-6eb4-4fb5-84d3-ea6937b01fdd"), timestamp="1509989630.5")
    store.save(event)
    store.save(theirs("later", timestamp=2e9))
    found = store.get(event.id)
    assert values(found) == values(theirs(str(event.id)))
    assert values(through_theia(found)) == values(found)
    assert event.id in store
    assert [following.id for following in store.search(after=event)] == ["later"]
    store.delete(event.id)
    assert len(store) == 1


def test_an_event_without_its_content_is_saved(store: EventStore) -> None:
    stream = BytesIO(model.EventSerializer().serialize(theirs()))
    store.save(model.EventParser().parse_event(stream, skip_content=True))
    assert store.get("a").content == ""


def test_many_events_pass_through_one_stream(store: EventStore) -> None:
    """As in the files of Theia's naivestore."""
    events = [theirs(str(n), timestamp=float(n + 1), content="x\n" * n) for n in range(20)]
    store.save_many(events)
    stream = BytesIO(b"".join(map(model.EventSerializer().serialize, store.search())))
    parser = model.EventParser()
    assert [values(parser.parse_event(stream)) for _ in events] == list(map(values, events))


def test_our_event_takes_the_arguments_of_theias() -> None:
    """By position and by keyword, with defaults where Theia has them."""
    ours = list(inspect.signature(Event.__new__).parameters.values())[1:]
    their = list(inspect.signature(model.Event.__init__).parameters.values())[1:]
    assert [p.name for p in ours] == [p.name for p in their]
    assert [p.kind for p in ours] == [p.kind for p in their]
    assert all(p.default is not inspect.Parameter.empty for p in ours)
    given = ("a", "s", 1.5, ["x"], "c")
    assert values(Event(*given)) == values(model.Event(*given))


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("name", METHODS)
def test_methods_accept_every_call_that_theias_methods_accept(
    kind: type[EventStore], name: str
) -> None:
    """The same parameters first, in the same order, and with the same defaults; ours may add."""
    their = list(inspect.signature(getattr(storeapi.EventStore, name)).parameters.values())
    ours = list(inspect.signature(getattr(kind, name)).parameters.values())
    assert [p.name for p in ours[: len(their)]] == [p.name for p in their]
    for our, parameter in zip(ours, their, strict=False):
        assert our.kind is parameter.kind
        if parameter.default is not inspect.Parameter.empty:
            assert our.default == parameter.default
    for added in ours[len(their) :]:
        assert added.default is not inspect.Parameter.empty


def test_every_method_of_theias_store_exists() -> None:
    public = {name for name in vars(storeapi.EventStore) if not name.startswith("_")}
    assert public == set(METHODS)


def test_exceptions_have_the_same_names_and_order() -> None:
    found = inspect.getmembers(storeapi, inspect.isclass)
    theirs = {name: cls for name, cls in found if issubclass(cls, Exception)}
    assert len(theirs) == 4
    for name, their in theirs.items():
        ours = getattr(lmdbstore, name)
        assert [base.__name__ for base in ours.__mro__] == [base.__name__ for base in their.__mro__]


def test_theias_calls_work_by_position_and_by_keyword(store: EventStore) -> None:
    store.save(event=theirs())
    assert values(store.get(event_id="a")) == values(theirs())
    by_position = store.search(0, 2e9, ["x"], "Door", "desc")
    by_keyword = store.search(ts_start=0, ts_end=2e9, flags=["x"], match="Door", order="desc")
    assert list(by_position) == list(by_keyword) == [store.get("a")]
    store.delete(event_id="a")
    with pytest.raises(lmdbstore.EventNotFound):
        store.get("a")
    store.close()


def test_theias_modules_need_only_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import theia.model, theia.storeapi; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - sys.stdlib_module_names))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['theia']"
