"""What the two processes say to each other."""

from __future__ import annotations

import io
from functools import partial

import pytest

from lmdbstore import Event
from lmdbstore.ingest.apart.messages import (
    batch_in,
    filters_in,
    message,
    messages,
    of_batch,
    of_filters,
)
from lmdbstore.logs.common import Batch

TAGS = ["t", "u"]
new = partial(tuple.__new__, Event)
EVENTS = [
    new(("a", "s", 1.5, TAGS, "x\ny")),
    Event("b", "r", -2.0, [], ""),
    new(("\ud800", "s", 1e300, TAGS, "\u20ac \udfff \U0001f600\0")),
    Event("c", "\udc80", 0.1, ["\ud800"], "z"),
]


@pytest.mark.parametrize("count", range(5))
def test_events_arrive_as_they_were(count: int) -> None:
    """Also those that no store takes: the report says of which lines they are."""
    fields, parts = of_batch(Batch(EVENTS[:count], [3, 5, 5, 1 << 40][:count]))
    filters = {b"0" * 16: b"one", b"1" * 16: b"\0" * 128}
    digests, signatures = of_filters(filters)
    data = message({**fields, **digests, "kind": "x"}, [*parts, *signatures])
    [(found, received)] = messages(io.BytesIO(data))
    assert found["kind"] == "x"
    batch = batch_in(found, received)
    assert batch == Batch(EVENTS[:count], [3, 5, 5, 1 << 40][:count])
    assert all(type(event) is Event for event in batch.events)
    assert filters_in(found, received) == filters
    if count > 2:
        assert batch.events[0].tags is batch.events[2].tags  # they are handled at once


@pytest.mark.parametrize("cut", [0, 3, 8, 20, -1])
def test_a_message_that_is_cut_off_is_none(cut: int) -> None:
    whole = message({"kind": "a"}, [b"x", b"yz"])
    found = list(messages(io.BytesIO(whole + whole[:cut])))
    assert found == [({"kind": "a", "parts": [1, 2]}, [b"x", b"yz"])]
