"""`copy_events`: one state of the source, however often it is stopped, and compared at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import (
    Copied,
    DuplicateEvent,
    Event,
    EventStore,
    EventWriteException,
    InvalidQuery,
    LMDBEventStore,
    MemoryEventStore,
    StoreClosed,
    copy_events,
)
from lmdbstore.contract.tables import columns
from tests.tools.any_events import any_events
from tests.tools.children import ROOT
from tests.tools.properties import examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lmdbstore import SaveResult

EVENTS = [Event(f"{n:02}", "s", float(n // 3), ["t"] * (n % 2), f"text {n}") for n in range(20)]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "PIECE_EVENTS", 4)


@pytest.fixture(params=["memory", "lmdb"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    with opened(request.param, tmp_path / "source") as store:
        store.save_many(EVENTS)
        yield store


@pytest.fixture(params=["memory", "lmdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    with opened(request.param, tmp_path / "target") as store:
        yield store


def opened(kind: str, path: Path) -> EventStore:
    return MemoryEventStore() if kind == "memory" else LMDBEventStore(path, durability="none")


class Stopping(MemoryEventStore):
    """A store in memory whose saving fails after some batches, before or after the commit."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.commits = -1, False
        self.given: list[str] = []  # ids that were committed, in the order of saving

    def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
        some = list(events)
        self.left -= 1
        if self.left == -1 and not self.commits:
            raise KeyboardInterrupt
        result = super().save_many(some, **named)
        self.given += [event.id for event in some]
        if self.left == -1:
            raise KeyboardInterrupt
        return result


def test_all_events_are_copied_and_equal(source: EventStore, target: EventStore) -> None:
    done: list[tuple[int, int]] = []
    copied = copy_events(source, target, progress=lambda *numbers: done.append(numbers))
    assert copied == Copied(20, 20, 0, 0, copied.digest)
    assert list(target.search()) == list(source.search())  # equal times keep their order
    assert done == [(n, 20) for n in (4, 8, 12, 16, 20)]
    again = copy_events(source, target)
    assert again == Copied(20, 0, 20, 0, copied.digest)
    with MemoryEventStore() as other:
        other.save_many(reversed(EVENTS))
        assert copy_events(other, MemoryEventStore()).digest == copied.digest  # in any order
        other.save_many([EVENTS[7]._replace(content="x")], on_duplicate="replace")
        assert copy_events(other, MemoryEventStore()).digest != copied.digest


def test_conditions_choose_events(source: EventStore, target: EventStore) -> None:
    copied = copy_events(source, target, flags=["t"], match="1", ts_start=1, source="s")
    assert list(target.search()) == list(source.search(1, None, ["t"], "1", source="s"))
    assert copied.events == copied.saved == len(target) > 0
    others = 20 - copied.events
    assert copy_events(source, target)[:4] == (20, others, copied.events, 0)


@pytest.mark.parametrize("commits", [False, True])
@pytest.mark.parametrize("left", range(5))
def test_a_stopped_copy_goes_on_and_gives_nothing_twice(left: int, *, commits: bool) -> None:
    with MemoryEventStore() as source, Stopping() as target:
        source.save_many(EVENTS)
        target.left, target.commits = left, commits
        with pytest.raises(KeyboardInterrupt):
            copy_events(source, target)
        assert len(target) == 4 * (left + commits)
        target.left = -1
        copied = copy_events(source, target)
        assert copied[:4] == (20, 20 - 4 * (left + commits), 4 * (left + commits), 0)
        assert target.given == [event.id for event in EVENTS]


KILLED = """
import os, signal, sys
from lmdbstore import LMDBEventStore, copy_events
from lmdbstore.contract.tables import columns
columns.PIECE_EVENTS = 4

def progress(done, total):
    if done == 12:
        os.kill(os.getpid(), signal.SIGKILL)

with LMDBEventStore(sys.argv[1], readonly=True) as source, LMDBEventStore(sys.argv[2]) as target:
    copy_events(source, target, progress=progress)
"""


def test_a_killed_copy_goes_on(tmp_path: Path) -> None:
    with LMDBEventStore(tmp_path / "source", durability="none") as source:
        source.save_many(EVENTS)
        arguments = [sys.executable, "-c", KILLED, str(tmp_path / "source")]
        arguments.append(str(tmp_path / "target"))
        killed = subprocess.run(
            arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=False
        )
        assert killed.returncode == -signal.SIGKILL
        with LMDBEventStore(tmp_path / "target") as target:
            assert len(target) == 12
            assert copy_events(source, target)[:4] == (20, 8, 12, 0)
            assert list(target.search()) == EVENTS


def test_one_state_is_copied_while_others_write(source: EventStore, target: EventStore) -> None:
    """Saves and deletes after the call do not count; the next call brings the new events."""

    def write(done: int, _: int) -> None:
        source.save_many([Event(f"new {done}", timestamp=-1.0), Event(f"n {done}", timestamp=99.0)])
        source.delete(f"{19 - done // 4:02}")
        target.save(Event(f"other {done}"))

    assert copy_events(source, target, progress=write)[:4] == (20, 20, 0, 5)
    assert [event for event in target.search() if event.id in {e.id for e in EVENTS}] == EVENTS
    assert copy_events(source, target)[:4] == (25, 10, 15, 10)


def test_the_progress_of_a_copy_that_goes_on_begins_where_it_is(target: EventStore) -> None:
    def stop(done: int, _: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    done: list[tuple[int, int]] = []
    with MemoryEventStore() as source:
        source.save_many(EVENTS)
        with pytest.raises(KeyboardInterrupt):
            copy_events(source, target, progress=stop)
        source.save(Event("late", timestamp=50.0))
        copy_events(source, target, progress=lambda *numbers: done.append(numbers))
    assert done == [(16, 21), (20, 21), (21, 21)]


def test_events_that_came_before_the_place_of_a_stopped_copy_are_copied(
    target: EventStore,
) -> None:
    def stop(done: int, _: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with MemoryEventStore() as source:
        source.save_many(EVENTS)
        with pytest.raises(KeyboardInterrupt):
            copy_events(source, target, progress=stop)
        source.save_many([Event("early", timestamp=-5.0), Event("late", timestamp=50.0)])
        source.delete("01")
        assert copy_events(source, target)[:4] == (21, 10, 11, 1)
        assert target.get("early").timestamp == -5.0


def test_the_place_of_another_source_does_no_harm(target: EventStore) -> None:
    with MemoryEventStore() as one, MemoryEventStore() as two:
        one.save_many(EVENTS)
        two.save_many(Event(f"two {n}", timestamp=float(n - 9)) for n in range(10))
        copy_events(one, target)
        assert copy_events(two, target)[:4] == (10, 10, 0, 20)
        assert len(target) == 30


def test_other_events_with_the_same_ids_are_named(source: EventStore, target: EventStore) -> None:
    """They stay as they are; all others are copied."""
    mine = [Event(f"{n:02}", "mine") for n in (3, 5, 7, 9)]
    target.save_many(mine)
    with pytest.raises(DuplicateEvent, match=r"of 4 of the source, such as '03', '05', '07'; del"):
        copy_events(source, target)
    assert [target.get(event.id) for event in mine] == mine
    assert len(target) == 20
    for event in mine:
        target.delete(event.id)
    assert copy_events(source, target)[:4] == (20, 4, 16, 0)


FIELDS: list[dict[str, Any]] = [
    {"source": "x"},
    {"timestamp": 1.0000000000000002},
    {"tags": ["t", "t2"]},
    {"content": "text 4\r"},
]


@pytest.mark.parametrize("change", FIELDS)
def test_a_target_that_changes_a_field_is_noticed(change: dict[str, Any]) -> None:
    class Changing(MemoryEventStore):
        def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
            changed = (e._replace(**change) if e.id == "04" else e for e in events)
            return super().save_many(changed, **named)

    with MemoryEventStore() as source, Changing() as target:
        source.save_many(EVENTS)
        with pytest.raises(DuplicateEvent, match="'04'"):
            copy_events(source, target)


def test_a_target_that_loses_an_event_is_noticed() -> None:
    class Losing(MemoryEventStore):
        def save_many(self, events: Iterable[Event], **named: Any) -> SaveResult:
            return super().save_many([e for e in events if e.id != "04"], **named)

    with MemoryEventStore() as source, Losing() as target:
        source.save_many(EVENTS)
        for _ in range(2):
            with pytest.raises(EventWriteException, match="not in the target any more"):
                copy_events(source, target)


def test_wrong_arguments_are_refused_before_anything_is_written(target: EventStore) -> None:
    call: Any = copy_events
    with MemoryEventStore() as source:
        source.save_many(EVENTS)
        for wrong in (
            {"match": "("},
            {"name": ""},
            {"name": 7},
            {"name": "\ud800"},
            {"progress": 7},
            {"flags": "t"},
        ):
            with pytest.raises(InvalidQuery):
                call(source, target, **wrong)
        with pytest.raises(TypeError, match=r"copy_events\(\) got an unexpected keyword .*'limit'"):
            call(source, target, limit=1)
        target.save_many([], checkpoint=("copy_events", "of another program"))
        with pytest.raises(InvalidQuery):
            copy_events(source, target)
        assert len(target) == 0
        target.close()
        with pytest.raises(StoreClosed):
            copy_events(source, target)


@examples(60)
@given(any_events(), any_events(), st.integers(-1, 3), st.booleans())
def test_any_events_are_copied_over_any_stop(
    first: list[Event], second: list[Event], left: int, commits: bool
) -> None:
    """With events that come between the stop and the next call."""
    with MemoryEventStore() as source, Stopping() as target:
        source.save_many(first)
        target.left, target.commits = left, commits
        with suppress(KeyboardInterrupt):
            copy_events(source, target)
        source.save_many(second, on_duplicate="ignore")
        target.left = -1
        copied = copy_events(source, target)
        assert sorted(target.search()) == sorted(source.search())
        assert copied.events == len(source) == len(target)
        assert copied.others == 0
