"""The memory store, and the store on disk in two processes: all answers are the same.

Hypothesis plays commands to `MemoryEventStore`, to an `LMDBEventStore` here and to one in another
process on the same folder. A write goes to one of the two; all three are asked for each read.
Pages hold few events, so that small stores have many pages; runs hold few in one test, and as many
as usual in the other. Events are also sealed at any moment. `LMDBSTORE_EXAMPLES=20` in the
environment plays twenty times as long.
"""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lmdbstore import Event, MemoryEventStore
from tests.tools.actors import Actor, Process, make_small
from tests.tools.indexes import assert_indexes_agree
from tests.tools.zstd import CAN_COMPRESS

if TYPE_CHECKING:
    from collections.abc import Callable


EXAMPLES = 50 * int(os.environ.get("LMDBSTORE_EXAMPLES", "1"))
STEPS = 40


# -- the players -----------------------------------------------------------------------------------


@dataclass
class Unread:
    """The events that a partly read search may still return."""

    left: list[tuple[Event, str]]  # with the token after each
    most: float  # the number of events that it may still return
    deleted: set[str] = field(default_factory=set)  # they may be returned or not
    ended: bool = False

    def check(self, found: list[tuple[Event, str]], *, ended: bool) -> None:
        assert not (found and self.ended)
        for item in found:
            assert item in self.left
            place = self.left.index(item)
            self._check_deleted(self.left[:place])
            del self.left[: place + 1]
        self.most -= len(found)
        assert self.most >= 0
        if ended:
            self.ended = True
            if self.most:
                self._check_deleted(self.left)

    def _check_deleted(self, missed: list[tuple[Event, str]]) -> None:
        for event, _ in missed:
            assert event.id in self.deleted, f"{event.id} was left out"


class Player:
    """One of the three stores, with what the machine knows of it."""

    def __init__(self, do: Callable[..., Any]) -> None:
        self.do = do
        self.snapshots: list[int] = []
        self.unread: dict[int, tuple[int | None, Unread]] = {}  # with the view it reads


# -- the commands ----------------------------------------------------------------------------------


IDS = [*map(str, range(30)), "x" * 600 + "1", "x" * 600 + "2", ","]
TIMES = [-1.0, 0.0, 1.0, math.nextafter(1.0, 2.0), 2.5]
FLAGS = ["a", "b", "rare", "", "y" * 600]
SOURCES = ["door", "roof", ""]
CONTENTS = [
    *("", "opened", "shut\nopen", "naïve 𝄞", "z" * 5_000),
    *('{"n": 1, "a": {"b": "open"}}', ' {"n": 2.5, "a.b": null}', '{"n": "1"', '[{"n": 1}]'),
]
WHERE: list[dict[str, Any]] = [
    *({}, {"n": 1}, {"n": (">", 1)}, {"n": ("!=", "1"), "a.b": None}, {"a.b": ("<", "p")}),
    {"n": [(">=", 1), ("<", 2.5)]},
]
PATTERNS = ["", "open", "^open", "shut$", "^$", "n|z{3}", "[^a-z]", "𝄞$", "(?i)OPEN", "e\\w+d"]
EVENTS = st.builds(
    Event,
    id=st.sampled_from(IDS),
    source=st.sampled_from(SOURCES),
    timestamp=st.sampled_from(TIMES),
    tags=st.lists(st.sampled_from(FLAGS), max_size=3),
    content=st.sampled_from(CONTENTS),
)
BATCHES = st.lists(EVENTS, max_size=8, unique_by=lambda event: event.id)
WRONG: list[dict[str, Any]] = [
    {"id": ""},
    {"source": None},
    {"timestamp": math.nan},
    {"tags": "door"},
    {"tags": ["a", 7]},
    {"content": "\ud800"},
]
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "ts_start": st.sampled_from([None, -math.inf, *TIMES]),
        "ts_end": st.sampled_from([None, math.inf, *TIMES]),
        "flags": st.lists(st.sampled_from([*FLAGS, "nobody"]), max_size=3),
        "match": st.sampled_from(PATTERNS),
        "order": st.sampled_from(["asc", "desc"]),
        "source": st.sampled_from(SOURCES),
        "limit": st.integers(0, 12),
        "any_flags": st.lists(st.sampled_from([*FLAGS, "nobody"]), max_size=3),
        "not_flags": st.lists(st.sampled_from([*FLAGS, "nobody"]), max_size=2),
        "where": st.sampled_from(WHERE),
        "after": st.sampled_from(IDS) | st.integers(0, 1_000),  # an event, or one of the tokens
        "at": st.integers(0, 40),  # the number in a position
    },
)
NOT_COUNTED = {"order", "limit", "after"}  # a histogram has no such conditions
BUCKETS = [0.5, 1, 3.0, "hour", "day"]
OPTIONS = st.fixed_dictionaries(
    {
        "consistency": st.sampled_from(["strict", "snapshot"]),
        "durability": st.sampled_from(["none", "full"]),
    }
)
NAMES = st.sampled_from(["log", "w" * 600])  # of checkpoints
SIDES = st.sampled_from(["here", "there"])
PICK = st.integers(0, 1_000)


class Machine(RuleBasedStateMachine):
    """One run: three stores that must give the same answers."""

    def __init__(self, process: Process, path: Path) -> None:
        super().__init__()
        shutil.rmtree(path, ignore_errors=True)
        self.path = path
        self.numbers = 0  # of snapshots and searches
        self.tokens: list[str] = []
        self.memory = Player(Actor(MemoryEventStore()).do)
        self.lmdb = {"here": Player(Actor().do), "there": Player(process.do)}
        self.players = [self.memory, *self.lmdb.values()]
        # One of the two compresses, so that the store has both kinds of runs.
        compression = "zstd" if CAN_COMPRESS else None
        self.open(self.lmdb["here"], {"durability": "none", "compression": compression})
        self.open(self.lmdb["there"], {"durability": "none"})

    def open(self, player: Player, options: dict[str, Any]) -> None:
        assert player.do("open", str(self.path), options) is None

    def write(self, side: str, command: str, argument: Any) -> Any:
        """Write in one of the stores on disk, and in memory."""
        expected = self.memory.do(command, argument)
        assert self.lmdb[side].do(command, argument) == expected
        return expected

    def ask(self, command: str, view: int | None, *arguments: Any) -> Any:
        """Ask every player that has the view, and return their common answer."""
        expected = self.memory.do(command, view, *arguments)
        for player in self.lmdb.values():
            if view is None or view in player.snapshots:
                assert player.do(command, view, *arguments) == expected
        return expected

    def a_view(self, pick: int) -> int | None:
        """Pick the store more often than a snapshot."""
        views = [None, None, *self.memory.snapshots]
        return views[pick % len(views)]

    def arguments(self, conditions: dict[str, Any]) -> dict[str, Any]:
        after = conditions.get("after")
        if isinstance(after, str):
            after = Event(after)
        elif after is not None:
            after = self.tokens[after % len(self.tokens)] if self.tokens else None
        return {**conditions, "after": after}

    # -- writing

    @initialize(side=SIDES, events=st.lists(EVENTS, max_size=20, unique_by=lambda event: event.id))
    def fill(self, side: str, events: list[Event]) -> None:
        assert self.write(side, "save_many", events) == len(events)

    @rule(side=SIDES, event=EVENTS)
    def save(self, side: str, event: Event) -> None:
        self.write(side, "save", event)

    @rule(side=SIDES, event=EVENTS, wrong=st.sampled_from(WRONG))
    def save_a_wrong_event(self, side: str, event: Event, wrong: dict[str, Any]) -> None:
        assert self.write(side, "save", event._replace(**wrong)) == "InvalidEvent"

    @rule(side=SIDES, events=BATCHES)
    def save_many(self, side: str, events: list[Event]) -> None:
        self.write(side, "save_many", events)

    @rule(side=SIDES, events=BATCHES.filter(bool), pick=PICK)
    def save_many_with_an_id_twice(self, side: str, events: list[Event], pick: int) -> None:
        again = events[pick % len(events)]._replace(content="again")
        assert self.write(side, "save_many", [*events, again]) == "DuplicateEvent"

    @rule(side=SIDES, events=BATCHES, event=EVENTS, wrong=st.sampled_from(WRONG), pick=PICK)
    def save_many_with_a_wrong_event(
        self, side: str, events: list[Event], event: Event, wrong: dict[str, Any], pick: int
    ) -> None:
        events.insert(pick % (len(events) + 1), event._replace(id="wrong")._replace(**wrong))
        assert self.write(side, "save_many", events) == "InvalidEvent"

    @rule(side=SIDES, events=BATCHES, name=NAMES, text=st.sampled_from(CONTENTS))
    def save_with_a_checkpoint(self, side: str, events: list[Event], name: str, text: str) -> None:
        self.write(side, "save_noted", (events, (name, text)))

    @rule(side=SIDES, events=st.lists(EVENTS, max_size=8))
    def save_missing(self, side: str, events: list[Event]) -> None:
        self.write(side, "save_passing", (events, "ignore"))

    @rule(side=SIDES, events=BATCHES)  # of an id twice the local ids, which tokens have, may differ
    def save_over(self, side: str, events: list[Event]) -> None:
        self.write(side, "save_passing", (events, "replace"))
        self.note_deleted({event.id for event in events})

    @rule(side=SIDES, event=EVENTS, mode=st.sampled_from(["raise", "ignore", "replace"]))
    def save_passing(self, side: str, event: Event, mode: str) -> None:
        self.write(side, "save_one_passing", (event, mode))
        if mode == "replace":
            self.note_deleted({event.id})

    @rule(side=SIDES, ids=st.lists(st.sampled_from(IDS), max_size=12))
    def delete_many(self, side: str, ids: list[str]) -> None:
        self.write(side, "delete_many", ids)
        self.note_deleted(set(ids))

    @rule(side=SIDES, event_id=st.sampled_from(IDS))
    def delete(self, side: str, event_id: str) -> None:
        if self.write(side, "delete", event_id) is None:
            self.note_deleted({event_id})

    def note_deleted(self, ids: set[str]) -> None:
        """Note that what was saved with these ids may be missing in searches under way."""
        for player in self.players:
            for view, unread in player.unread.values():
                if view is None:
                    unread.deleted |= ids

    @rule(side=SIDES, pick=PICK)
    def delete_one_that_is_there(self, side: str, pick: int) -> None:
        found = self.memory.do("search", None, {})
        if found:
            self.delete(side, found[pick % len(found)][0].id)

    @rule(side=SIDES)
    def seal(self, side: str) -> None:
        assert self.lmdb[side].do("seal") is None

    # -- reading

    @rule(pick=PICK, event_id=st.sampled_from(IDS))
    def get(self, pick: int, event_id: str) -> None:
        view = self.a_view(pick)
        event = self.ask("get_or_none", view, event_id)
        assert self.ask("get", view, event_id) == (event or "EventNotFound")
        assert self.ask("contains", view, event_id) is (event is not None)

    @rule(pick=PICK, name=NAMES)
    def checkpoint(self, pick: int, name: str) -> None:
        self.ask("checkpoint", self.a_view(pick), name)
        self.ask("checkpoints", self.a_view(pick), name[: pick % 5])

    @rule(pick=PICK, conditions=CONDITIONS)
    def search(self, pick: int, conditions: dict[str, Any]) -> None:
        view, arguments = self.a_view(pick), self.arguments(conditions)
        found = self.ask("search", view, arguments)
        number = self.ask("count", view, arguments)
        if isinstance(found, str):  # the name of an exception
            assert self.ask("explain", view, arguments) == number == found
        else:
            assert number == len(found)
            assert self.ask("explain", view, arguments) is True
            self.tokens += [token for _, token in found]

    @rule(pick=PICK, conditions=CONDITIONS, bucket=st.sampled_from(BUCKETS))
    def count_apart(self, pick: int, conditions: dict[str, Any], bucket: Any) -> None:
        view = self.a_view(pick)
        wanted = {name: conditions[name] for name in conditions.keys() - NOT_COUNTED}
        number = self.memory.do("count", view, wanted)
        pairs = self.ask("histogram", view, bucket, wanted)
        facets = self.ask("facets", view, pick % 4, wanted)
        if isinstance(number, str):  # the name of an exception
            assert pairs == facets == number
        else:
            assert sum(events for _, events in pairs) == number
            assert facets.keys() == {"flags", "source"}

    @rule(pick=PICK, event_id=st.sampled_from(IDS), number=st.integers(0, 7), same=st.booleans())
    def around(self, pick: int, event_id: str, number: int, *, same: bool) -> None:
        found = self.ask("around", self.a_view(pick), event_id, (number, pick % 5), same)
        assert found == "EventNotFound" or event_id in [event.id for event in found]

    @rule(pick=PICK)
    def flags_and_length(self, pick: int) -> None:
        view = self.a_view(pick)
        self.ask("flags", view)
        self.ask("sources", view)
        self.ask("length", view)

    @rule(pick=PICK, conditions=CONDITIONS)
    def begin_a_search(self, pick: int, conditions: dict[str, Any]) -> None:
        view, arguments = self.a_view(pick), self.arguments(conditions)
        # Without the limit: later events take the places of deleted ones.
        all_of_it = self.memory.do("search", view, {**arguments, "limit": None})
        self.numbers += 1
        token = self.memory.do("begin", self.numbers, view, arguments)
        for player in self.players:
            if view is None or view in player.snapshots:
                assert player.do("begin", self.numbers, view, arguments) == token
                if not isinstance(all_of_it, str):
                    most = arguments.get("limit", math.inf)
                    player.unread[self.numbers] = (view, Unread(list(all_of_it), most))

    @precondition(lambda self: self.memory.unread)
    @rule(pick=PICK, most=st.integers(1, 9), side=st.sampled_from(["here", "there", "all"]))
    def read_on(self, pick: int, most: int, side: str) -> None:
        number = list(self.memory.unread)[pick % len(self.memory.unread)]
        for player in self.players if side == "all" else [self.lmdb[side]]:
            if number in player.unread:
                found, ended = player.do("read", number, most)
                player.unread[number][1].check(found, ended=ended)

    @precondition(lambda self: len(self.memory.snapshots) < 4)
    @rule()
    def snapshot(self) -> None:
        self.numbers += 1
        for player in self.players:
            assert player.do("snapshot", self.numbers) is None
            player.snapshots.append(self.numbers)

    @precondition(lambda self: self.memory.snapshots)
    @rule(pick=PICK)
    def end_a_snapshot(self, pick: int) -> None:
        number = self.memory.snapshots[pick % len(self.memory.snapshots)]
        for player in self.players:
            if number in player.snapshots:
                assert player.do("release", number) is None
                self.check_ended(player, number)

    # -- opening and closing

    @rule(side=SIDES, options=OPTIONS)
    def reopen(self, side: str, options: dict[str, Any]) -> None:
        """The snapshots and searches of this store end; those of the others continue."""
        player = self.lmdb[side]
        self.close(player)
        self.open(player, options)

    def close(self, player: Player) -> None:
        assert player.do("close") is None
        assert player.do("length", None) == "StoreClosed"
        for number in (*player.snapshots, None):
            self.check_ended(player, number)

    def check_ended(self, player: Player, view: int | None) -> None:
        """The view is refused, and so are its searches that had not ended."""
        assert player.do("length", view) == "StoreClosed"
        if view is not None:
            player.snapshots.remove(view)
        for number, (owner, unread) in list(player.unread.items()):
            if owner == view:
                answer = player.do("read", number, 1)
                assert answer == (([], True) if unread.ended else "StoreClosed")
                del player.unread[number]

    def teardown(self) -> None:
        try:
            found = self.ask("search", None, {})
            assert self.ask("length", None) == self.ask("count", None, {}) == len(found)
            self.ask("flags", None)
            for view in self.memory.snapshots:
                self.ask("search", view, {})
                self.ask("flags", view)
            for player in self.players:
                self.close(player)
            assert assert_indexes_agree(self.path) == len(found)
        finally:
            for player in self.players:
                player.do("close")


@pytest.mark.parametrize("tiny_runs", [True, False])
def test_three_stores_give_the_same_answers(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, tiny_runs: bool
) -> None:
    make_small(monkeypatch, tiny_runs=tiny_runs)
    with Process(tiny_runs=tiny_runs) as process:
        machine: Any = partial(Machine, process, path)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES if tiny_runs else EXAMPLES // 2,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
