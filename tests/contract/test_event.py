"""The event as a value, its new ids, and `checked`, which decides what can be stored."""

from __future__ import annotations

import copy
import os
import pickle
import time
import uuid
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, InvalidEvent, InvalidQuery
from lmdbstore.contract.checking import checked, checked_all, checked_columns, checked_id
from lmdbstore.contract.event import new_id
from lmdbstore.errors import SHOWN, shown
from lmdbstore.records.record import TermKeys, encode, encode_all
from tests.tools.properties import examples

if TYPE_CHECKING:
    from collections.abc import Callable

EVENT = Event("a", "door", 1.5, ["x", "y"], "opened")


def test_fields_are_in_the_order_of_theias_event() -> None:
    id_, source, timestamp, tags, content = EVENT
    assert (id_, source, timestamp, tags, content) == ("a", "door", 1.5, ["x", "y"], "opened")
    assert Event._fields == ("id", "source", "timestamp", "tags", "content")


def test_fields_can_be_given_by_name() -> None:
    assert Event(content="opened", tags=["x", "y"], timestamp=1.5, source="door", id="a") == EVENT
    assert EVENT.id == "a"
    assert EVENT.source == "door"
    assert EVENT.timestamp == 1.5
    assert EVENT.tags == ["x", "y"]
    assert EVENT.content == "opened"


def test_events_are_equal_by_value() -> None:
    assert Event("a", "door", 1.5, ("x", "y"), "opened") == EVENT
    assert EVENT._replace(id="other") != EVENT
    assert EVENT._replace(source="other") != EVENT
    assert EVENT._replace(content="other") != EVENT
    assert EVENT._replace(timestamp=1.6) != EVENT
    assert EVENT._replace(tags=["y", "x"]) != EVENT


def test_repr_is_a_call_that_creates_the_event() -> None:
    text = "Event(id='a', source='door', timestamp=1.5, tags=['x', 'y'], content='opened')"
    assert repr(EVENT) == text
    assert eval(text) == EVENT


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_events_can_be_pickled(protocol: int) -> None:
    back = pickle.loads(pickle.dumps(EVENT, protocol))
    assert back == EVENT
    assert type(back) is Event


def test_copies_are_equal_and_have_their_own_tags() -> None:
    for twin in (copy.copy(EVENT), copy.deepcopy(EVENT)):
        assert twin == EVENT
        assert type(twin) is Event
        assert twin.tags is not EVENT.tags


def test_replace_returns_a_changed_copy() -> None:
    changed = EVENT._replace(content="closed", source="roof")
    assert changed == Event("a", "roof", 1.5, ["x", "y"], "closed")
    assert type(changed) is Event
    assert EVENT.content == "opened"


def test_events_cannot_be_hashed_or_changed() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(EVENT)
    event: Any = EVENT
    with pytest.raises(AttributeError):
        event.content = "closed"
    with pytest.raises(AttributeError):
        event.other = 1


def test_missing_fields_have_defaults() -> None:
    before = time.time()
    event = Event()
    assert before <= event.timestamp <= time.time()
    assert event[1] == ""
    assert event[3:] == ([], "")
    assert uuid.UUID(event.id).version == 7
    assert Event(None, "s", None, None, None)[3:] == ([], "")


def test_a_timestamp_of_0_is_kept() -> None:
    assert Event(timestamp=0).timestamp == 0
    assert Event(timestamp=0.0).timestamp == 0.0


def test_each_event_has_its_own_list_of_tags() -> None:
    tags = ["x"]
    event = Event(tags=tags)
    tags.append("y")
    assert event.tags == ["x"]
    assert Event().tags is not Event().tags


def test_the_constructor_accepts_any_value() -> None:
    """Saving checks the values, so that an error can name the field with the wrong value."""
    event: Any = Event
    for wrong in ("door", b"door", 7):
        assert event(tags=wrong).tags == wrong
    assert event(id=7, source=None, timestamp="soon").source is None


def test_new_ids_are_uuids_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    text = new_id()
    number = uuid.UUID(text)
    after = time.time_ns() // 1_000_000
    assert number.version == 7
    assert number.variant == uuid.RFC_4122
    assert before <= number.int >> 80 <= after
    assert str(number) == text


def test_new_ids_differ_and_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a quarter microsecond: the twelve bits after the version are part of a millisecond."""
    assert len({new_id() for _ in range(10_000)}) == 10_000
    now = 1_700_000_000_000_000_000
    ids = []
    for nanoseconds in range(0, 3_000_000, 250):
        monkeypatch.setattr(time, "time_ns", lambda ns=nanoseconds: now + ns)
        ids.append(new_id())
    assert ids == sorted(ids)
    assert all(uuid.UUID(id_).version == 7 for id_ in ids)


def test_checked_returns_an_event_that_can_be_stored() -> None:
    assert checked(EVENT) == EVENT
    assert type(checked(EVENT)) is Event
    given = SimpleNamespace(
        id=uuid.UUID(int=7), source="s", timestamp="1.5", tags=iter(["x", "y", "x"]), content=None
    )
    assert checked(given) == Event(str(uuid.UUID(int=7)), "s", 1.5, ["x", "y"], "")


def test_checked_does_not_share_tags_with_the_caller() -> None:
    event = checked(EVENT)
    event.tags.append("z")
    assert EVENT.tags == ["x", "y"]


def test_checked_returns_plain_strings_and_floats() -> None:
    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "lie"

    class Seconds(float):
        pass

    event = checked(Event(Text("a"), Text("é"), Seconds(1.5), [Text("x")], Text("c")))
    assert event == Event("a", "é", 1.5, ["x"], "c")
    assert [type(value) for value in event] == [str, str, float, list, str]
    assert type(event.tags[0]) is str


@pytest.mark.parametrize("time", [1, "1", Decimal(1), True + 0.0])
def test_checked_converts_the_timestamp_to_a_float(time: Any) -> None:
    timestamp = checked(EVENT._replace(timestamp=time)).timestamp
    assert timestamp == 1.0
    assert type(timestamp) is float


def test_checked_converts_negative_zero_to_zero() -> None:
    assert str(checked(Event(timestamp=-0.0)).timestamp) == "0.0"


@pytest.mark.parametrize("time", [True, b"1", bytearray(b"1"), "", None, [1.0]])
def test_checked_refuses_invalid_timestamps(time: Any) -> None:
    with pytest.raises(InvalidEvent, match="timestamp"):
        checked(EVENT._replace(timestamp=time))


def test_checked_refuses_a_timestamp_too_long_to_print() -> None:
    with pytest.raises(InvalidEvent, match="timestamp: <int whose repr"):
        checked(EVENT._replace(timestamp=10**5000))


def test_checked_names_the_value_and_the_remedy() -> None:
    wrong: Any = 7
    with pytest.raises(InvalidEvent, match=r"^source: 7 cannot be stored; give a str$"):
        checked(EVENT._replace(source=wrong))


class Text(str):
    __slots__ = ()


def rarely(usual: Any, *unusual: Any) -> st.SearchStrategy[Any]:
    """Draw one of the unusual values now and then, so that most lists have none or one."""
    return st.integers(0, 39).map(lambda n: unusual[n] if n < len(unusual) else usual)


EVENTS = st.lists(
    st.builds(
        lambda *fields: Event._make(fields),
        rarely("a", "", "é", "\ud800", 7, Text("t"), uuid.UUID(int=1), "x" * 600),
        rarely("s", "", "ß", "\ud800", None, Text("t")),
        rarely(1.5, 0.0, -0.0, -1.5, 3, "2.5", True, float("nan"), float("inf"), 1e308),
        rarely(["x", "y"], [], ["x", "x"], ["é"], ["\ud800"], [7], ("x",), "x", None, [Text("t")]),
        rarely("text", "", "\n", "é", "\udc00", None, 5, Text("t")),
    )
    | rarely(EVENT, SimpleNamespace(id="n", source="s", timestamp=1, tags=None, content=None), 5),
    max_size=12,
)  # fmt: skip


def refused(check: Callable[[], object]) -> str:
    try:
        check()
    except InvalidEvent as error:
        return str(error)
    return ""


@given(EVENTS, st.integers(1, 6))
@examples(120)
def test_checking_a_batch_gives_the_same_as_checking_each_event(
    events: list[Any], size: int
) -> None:
    """The bytes and the refusal are the same for a batch and for single events."""
    refusal = refused(lambda: list(checked_all(events)))
    assert refused(lambda: list(checked_columns(events, size))) == refusal
    assert refused(lambda: list(checked_columns(iter(events), size))) == refusal
    if refusal:
        return
    each, columns = list(checked_all(events)), list(checked_columns(events, size))
    assert columns == list(checked_columns(iter(events), size))
    made = [Event._make(fields) for part in columns for fields in zip(*part, strict=True)]
    assert [repr(event) for event in made] == [repr(event) for event in each]
    assert all(type(field) is not Text for event in made for field in (*event, *event.tags))
    rows = [encode(event, TermKeys()) for event in each]
    parts = [encode_all(part, TermKeys()) for part in columns]
    assert [row for part in parts for row in zip(*part, strict=True)] == rows
    assert all(
        event.tags is not one.tags for one, event in zip(events, made, strict=True) if one is EVENT
    )


def test_checked_id_accepts_ids_and_refuses_other_values() -> None:
    assert checked_id("a") == "a"
    assert checked_id("") == ""
    assert checked_id(uuid.UUID(int=7)) == str(uuid.UUID(int=7))
    with pytest.raises(InvalidQuery, match="7"):
        checked_id(7)


def test_shown_values_are_short_and_printable() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    class Lone:
        def __repr__(self) -> str:
            return "\ud800"

    assert shown("a") == "'a'"
    assert len(shown("x" * 1000)) == SHOWN
    assert shown(Rude()) == "<Rude whose repr() raised ZeroDivisionError>"
    assert shown(10**5000) == "<int whose repr() raised ValueError>"
    assert shown(Lone()) == r"\ud800"


def test_a_forked_child_creates_ids_different_from_its_parents() -> None:
    """Random bytes are fetched for many ids at once; parent and child must not share them."""
    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, " ".join(new_id()[19:] for _ in range(300)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read().split()
    assert os.waitpid(child, 0)[1] == 0
    ours = [new_id()[19:] for _ in range(300)]
    assert len({*ours, *theirs}) == 600
