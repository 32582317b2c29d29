"""Subclasses of str, int and list whose methods lie are read as the plain value they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, InvalidEvent, InvalidQuery, LMDBEventStore, MemoryEventStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmdbstore import EventStore

EVENT = Event("é", "s", 1.0, ["a"], "x")


def lies(*_: Any, **__: Any) -> Any:
    return -1


def lying(base: type, value: Any, *names: str) -> Any:
    return type("Lying", (base,), dict.fromkeys(names, lies))(value)


def text(value: str) -> Any:
    names = ("__eq__", "__hash__", "__bool__", "__len__", "__str__", "encode", "isascii")
    return lying(str, value, *names, "partition")


def number(value: int) -> Any:
    return lying(
        int, value, "__int__", "__index__", "__le__", "__ge__", "__lt__", "__gt__", "__and__"
    )


def row(value: list[str]) -> Any:
    return lying(list, value, "__len__", "__contains__", "__getitem__", "copy")


@pytest.fixture(params=["memory", "lmdb"])
def filled(request: pytest.FixtureRequest, path: Path) -> Iterator[EventStore]:
    with MemoryEventStore() if request.param == "memory" else LMDBEventStore(path) as store:
        store.save(EVENT)
        yield store


def test_an_id_is_read_as_its_plain_text(filled: EventStore) -> None:
    assert filled.get(text("é")) == EVENT
    assert text("é") in filled
    assert text("other") not in filled
    filled.delete(text("é"))
    assert len(filled) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"order": text("desc")},
        {"flags": row([text("a")])},
        {"source": text("s")},
        {"limit": number(1)},
        {"match": text("x")},
        {"after": text("1@0.5")},
    ],
    ids=lambda of: next(iter(of)),
)
def test_an_argument_is_read_as_its_plain_value(
    filled: EventStore, arguments: dict[str, Any]
) -> None:
    assert list(filled.search(**arguments)) == [EVENT]
    assert filled.count(**arguments) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"order": text("down")},
        {"limit": number(-1)},
        {"after": text("1")},
        {"source": text("\ud800")},
    ],
    ids=lambda of: next(iter(of)),
)
def test_a_wrong_argument_is_refused(filled: EventStore, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidQuery):
        filled.search(**arguments)


def test_an_event_is_saved_with_its_plain_values(filled: EventStore) -> None:
    filled.save(Event(text("b"), text("t"), 2.0, row([text("c"), "c"]), text("y")))
    (found,) = filled.search(source="t")
    assert found == ("b", "t", 2.0, ["c"], "y")
    assert {type(one) for one in (found.id, found.source, found.content, *found.tags)} == {str}


def test_an_option_is_read_as_its_plain_value(path: Path) -> None:
    with LMDBEventStore(path, map_size=number(1 << 20), mode=number(0o600)):
        assert (path / "data.mdb").stat().st_mode & 0o777 == 0o600


class OnlyItems:
    """A sequence without an end, whose items are all the same."""

    def __getitem__(self, _: int) -> str:
        return "a"


class OfNoLength:
    """A correct iterator with a wrong length."""

    def __init__(self) -> None:
        self._rest = ["a", "b"]

    def __iter__(self) -> OfNoLength:
        return self

    def __next__(self) -> str:
        if not self._rest:
            raise StopIteration
        return self._rest.pop(0)

    __len__ = __length_hint__ = lies


def test_endless_tags_and_flags_are_refused(filled: EventStore) -> None:
    """An object that is iterable only by `__getitem__` is not a list, and is not read."""
    endless: Any = OnlyItems()
    with pytest.raises(InvalidEvent, match="tags"):
        filled.save(Event(tags=endless))
    with pytest.raises(InvalidQuery, match="flags"):
        filled.search(flags=endless)


def test_the_length_of_an_iterable_is_not_used(filled: EventStore) -> None:
    filled.save(Event("2", tags=OfNoLength()))
    assert filled.get("2").tags == ["a", "b"]
    assert [event.id for event in filled.search(flags=OfNoLength())] == ["2"]
