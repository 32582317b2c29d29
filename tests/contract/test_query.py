"""Tokens are read back exactly, other texts are refused, and a query is plain data."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, EventNotFound, InvalidQuery, LMDBEventStore, MemoryEventStore
from lmdbstore.contract.query import Position, Query, checked_query
from lmdbstore.patterns.pattern import compile_pattern
from lmdbstore.testing.queries import INVALID
from tests.tools.properties import examples

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.contract.types import Order

LOCAL_IDS = st.integers(1, 2**48 - 1)
TIMESTAMPS = st.floats(allow_nan=False, allow_infinity=False).map(lambda time: time + 0.0)

BAD_TOKENS = [
    "",
    "@",
    "1",
    "1@",
    "@1.0",
    "1.0@1",
    "1@1",
    "1@1.00",
    "1@01.0",
    "1@+1.0",
    "1@1e0",
    "1@.5",
    "1@ 1.0",
    "1@1.0 ",
    "1@1.0\n",
    " 1@1.0",
    "+1@1.0",
    "01@1.0",
    "1_0@1.0",
    "1@1_0.0",
    "1.0@1.0",
    "1@1.0@1.0",
    "one@1.0",
    "1@one",
    "١@1.0",
    "1@١.0",
    "1@0x1p0",
    "0x1@1.0",
    "1@1e400",
    "1@infinity",
    "1@-NaN",
    "None",
    "1\0@1.0",
    "1@1.0\0",
    "1" * 5000 + "@1.0",
    "1@\ud800",
]
# Each has the form of a token, but no event can be at that position.
IMPOSSIBLE_TOKENS = [
    "1@nan",
    "1@inf",
    "1@-inf",
    "1@-0.0",
    "-1@1.0",
    f"{2**64}@1.0",
    f"{10**30}@1.0",
]


def locate(event_id: str) -> NoReturn:
    raise EventNotFound(event_id)


def query(**arguments: Any) -> Query:
    usual: dict[str, Any] = {
        "ts_start": None,
        "ts_end": None,
        "flags": None,
        "match": None,
        "order": "asc",
        "source": None,
        "limit": None,
        "after": None,
        "locate": locate,
        "number_of": lambda _: pytest.fail("no position"),
    }
    return checked_query(**{**usual, **arguments})


@examples(100)
@given(TIMESTAMPS, LOCAL_IDS)
def test_a_token_reads_back_as_the_same_position(timestamp: float, local_id: int) -> None:
    position = Position(timestamp, local_id)
    back = Position.from_token(position.token)
    assert back == position
    assert (type(back.timestamp), type(back.local_id)) == (float, int)
    assert position.token.isascii()
    assert position.token.isprintable()


@examples(100)
@given(TIMESTAMPS, LOCAL_IDS, TIMESTAMPS, LOCAL_IDS)
def test_positions_sort_by_time_and_then_by_local_id(
    time: float, local_id: int, other_time: float, other_id: int
) -> None:
    one, other = Position(time, local_id), Position(other_time, other_id)
    assert (one < other) == (time < other_time or (time == other_time and local_id < other_id))
    assert (one.token == other.token) == (one == other)


@pytest.mark.parametrize("token", BAD_TOKENS + IMPOSSIBLE_TOKENS)
def test_a_text_that_no_search_returned_is_refused_as_a_token(token: str) -> None:
    with pytest.raises(InvalidQuery, match="after") as info:
        Position.from_token(token)
    str(info.value).encode("utf-8")


@examples(100)
@given(st.text())
def test_any_text_is_a_token_or_is_refused(text: str) -> None:
    try:
        position = Position.from_token(text)
    except InvalidQuery:
        return
    assert position.token == text


@pytest.mark.parametrize("token", BAD_TOKENS + IMPOSSIBLE_TOKENS)
def test_stores_refuse_invalid_tokens(path: Path, token: str) -> None:
    """No store returns events, or raises an exception of another kind."""
    with MemoryEventStore() as memory, LMDBEventStore(path, durability="none") as lmdb:
        orders: list[Order] = ["asc", "desc"]
        for store, order in product([memory, lmdb], orders):
            for ask in (store.search, store.count, store.explain):
                with pytest.raises(InvalidQuery, match="after"):
                    ask(after=token, order=order)


def test_a_query_without_arguments_has_the_defaults() -> None:
    assert query() == Query()
    assert Query() == Query(-math.inf, math.inf, (), None, False, None, None, None)


def test_a_query_holds_its_arguments() -> None:
    position = Position(1.5, 7)
    found = query(
        ts_start=1,
        ts_end=2,
        flags=["b", "a", "b"],
        match="open",
        order="desc",
        source="door",
        limit=3,
        after=position.token,
    )
    assert found == Query(1.0, 2.0, ("b", "a"), compile_pattern("open"), True, "door", 3, position)
    assert type(found.ts_start) is float
    assert hash(found) == hash(found)


def test_after_an_event_uses_the_position_of_the_event_in_the_store() -> None:
    found = query(after=Event("a"), locate=lambda event_id: Position(2.5, ord(event_id)))
    assert found.after == Position(2.5, ord("a"))
    with pytest.raises(EventNotFound):
        query(after=Event("a"))


def test_a_negative_zero_in_a_query_is_zero() -> None:
    assert str(query(ts_start=-0.0).ts_start) == "0.0"
    assert str(query(ts_end=-0.0).ts_end) == "0.0"


def test_impossible_queries() -> None:
    assert query(limit=0).impossible
    assert query(ts_start=2, ts_end=1).impossible
    assert not query(ts_start=1, ts_end=1, limit=1).impossible


@pytest.mark.parametrize(("name", "value"), INVALID.values(), ids=INVALID.keys())
def test_the_refusal_of_an_argument_names_it(name: str, value: Any) -> None:
    """The table is the contract's; this test uses no store."""
    with pytest.raises(InvalidQuery, match=f"^{name}: "):
        query(**{name: value})


@pytest.mark.parametrize("wrong", [7, b"a", ["a"]])
def test_after_an_event_whose_id_is_not_a_string_is_refused(wrong: Any) -> None:
    with MemoryEventStore() as store, pytest.raises(InvalidQuery, match=r"^after: "):
        store.search(after=Event(wrong))


def test_a_refusal_names_the_argument_the_value_and_the_remedy() -> None:
    message = r"^limit: -1 cannot be used; pass a whole number, 0 or more, or None"
    with pytest.raises(InvalidQuery, match=message):
        query(limit=-1)
