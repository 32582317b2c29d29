"""Runs are cut so that signatures that were made in advance fit, and only fitting ones are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore
from lmdbstore.patterns.made import RUN, RUN_BYTES, made_for, offer
from lmdbstore.write import seal
from tests.tools.sealing import shape

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 3 * RUN
MOST = seal.LONGEST - RUN  # events that join the first run


@pytest.fixture(autouse=True)
def _nothing_is_offered() -> Iterator[None]:
    yield
    offer({})


def events(first: int, number: int, size: int = 10) -> list[Event]:
    return [
        Event(f"{n}", "s", float(n), [], f"word{n}".ljust(size))
        for n in range(first, first + number)
    ]


def made(some: list[Event]) -> dict[bytes, bytes]:
    return made_for([event.content.encode() for event in some], lambda: True)


@pytest.mark.parametrize(
    ("waiting", "runs"),
    [
        (0, [RUN] * 3),
        (1, [RUN + 1, RUN, RUN]),
        (MOST, [RUN + MOST, RUN, RUN]),
        (MOST + 1, [MOST + 1, RUN, RUN, RUN]),
    ],
)
def test_events_that_wait_do_not_move_the_cuts_of_many_new_ones(
    store: LMDBEventStore, waiting: int, runs: list[int]
) -> None:
    store.save_many(events(0, waiting))
    assert shape(store).live == waiting
    store.save_many(events(waiting, COUNT))
    assert shape(store).runs == runs
    assert [event.timestamp for event in store.search()] == list(range(waiting + COUNT))


def test_a_short_last_run_joins_the_first_run_of_many_new_ones(store: LMDBEventStore) -> None:
    store.save_many(events(0, RUN + 9))
    assert shape(store).runs == [RUN, 9]
    store.save_many(events(RUN + 9, COUNT))
    assert shape(store).runs == [RUN, RUN + 9, RUN, RUN]


def test_many_bytes_that_wait_are_cut_with_the_new_ones(store: LMDBEventStore) -> None:
    """So a run has no more than twice `RUN_BYTES`."""
    size = RUN_BYTES // 100
    store.save_many(events(0, 180, size))
    store.save_many(events(180, 90, size))
    assert shape(store)[:4] == ([100, 80], 0, 0, 90)
    store.save_many(events(270, 400, size))
    assert max(shape(store).runs) <= 2 * RUN_BYTES // size
    assert len(list(store.search())) == 670


def test_later_events_that_wait_are_cut_with_the_new_ones(store: LMDBEventStore) -> None:
    store.save_many(events(COUNT, 9))
    store.save_many(events(0, COUNT))
    assert shape(store).runs == [RUN, RUN, RUN, 9]


def test_a_signature_of_a_run_is_the_one_that_was_made(store: LMDBEventStore) -> None:
    store.save_many(events(0, 9))
    new = events(9, COUNT)
    noted = dict.fromkeys(made(new), b"noted")
    offer(noted)
    store.save_many(new)
    signatures = store._session.read(
        lambda txn, databases: [value for _, value in txn.cursor(db=databases.summaries)]
    )
    assert [value.endswith(b"noted") for value in signatures] == [False, True, True]
    store.delete_many([event.id for event in store.search()])  # they were no signatures


def test_a_signature_of_other_contents_is_not_used(store: LMDBEventStore) -> None:
    """`path` checks at the end that each run has its own."""
    new = events(0, COUNT)
    digests = [bytes([digest[0] ^ 1, *digest[1:]]) for digest in made(new)]
    offer(dict.fromkeys(digests, b"wrong"))
    store.save_many(new)
    assert store.count(match="word700") == 1
