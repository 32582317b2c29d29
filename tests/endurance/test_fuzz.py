"""Every public call with arguments that it should refuse: it does, and nothing is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lmdbstore import (
    DuplicateEvent,
    Event,
    EventNotFound,
    InvalidEvent,
    InvalidOption,
    InvalidQuery,
    LMDBEventStore,
    MemoryEventStore,
    StoreOpenError,
)
from tests.indexes import assert_indexes_agree

from .junk import KNOWN, Callers, events, hostile, inert, junk, many_events, texts, unboxed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hypothesis.strategies import SearchStrategy

    from lmdbstore import EventStore
    from tests.rounds import Rounds

EXAMPLES = 50  # of a round
KEPT = 40  # events that are left in the store at the end of a round
# What a call may come to. No other exception of the package belongs here: that the store is
# damaged, or that LMDB failed, is not what bad arguments lead to.
REFUSALS = (
    InvalidEvent,
    InvalidQuery,
    InvalidOption,
    DuplicateEvent,
    EventNotFound,
    StoreOpenError,
    Callers,
)


class Call(NamedTuple):
    """A public call, and the arguments that it gets."""

    arguments: SearchStrategy[dict[str, Any]]
    run: Callable[[Any, dict[str, Any]], object]


def some(**arguments: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    """Draw some of the arguments."""
    return st.fixed_dictionaries({}, optional=arguments)


def every(**arguments: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    """Draw all of the arguments."""
    return st.fixed_dictionaries(dict(arguments))


times = st.none() | st.floats() | hostile(float) | hostile(int) | junk
flags = (
    st.none() | st.lists(st.sampled_from(["a", "b", "é" * 300]), max_size=3) | hostile(list) | junk
)
numbers = st.none() | st.integers(-1, 9) | hostile(int) | junk
patterns = st.sampled_from(["a", "(a", "(?=a)", "[", "\\", ".*", "a{1001}", "(?i)é|x", ""])
query = some(
    ts_start=times,
    ts_end=times,
    flags=flags,
    match=patterns | texts | hostile(str) | junk,
    order=st.sampled_from(["asc", "desc"]) | hostile(str) | junk,
    source=st.none() | texts | hostile(str) | junk,
    limit=numbers,
    after=st.sampled_from(["1@1.0", "9@nan", "0@1.0", "@", "1@-0.0", f"{'9' * 5000}@1.0"])
    | hostile(str)
    | hostile(object)
    | junk,
)
ids = every(event_id=st.sampled_from(KNOWN) | texts | hostile(str) | junk)


def in_snapshot(run: Callable[[Any, dict[str, Any]], object]) -> Callable[..., object]:
    def inside(store: EventStore, arguments: dict[str, Any]) -> object:
        with store.snapshot() as view:
            return run(view, arguments)

    return inside


def searched(view: Any, arguments: dict[str, Any]) -> object:
    with view.search(**arguments) as search:
        return [next(search, None), search.token, *search, search.token]


READS = {
    "get": Call(ids, lambda view, of: view.get(**of)),
    "get with a default": Call(every(event_id=junk, default=junk), lambda view, of: view.get(**of)),
    "in": Call(ids, lambda view, of: of["event_id"] in view),
    "search": Call(query, searched),
    "count": Call(query, lambda view, of: view.count(**of)),
    "explain": Call(query, lambda view, of: view.explain(**of)),
    "flags": Call(some(), lambda view, _: view.flags()),
    "len": Call(some(), lambda view, _: len(view)),
}
CALLS: dict[str, Call] = {
    **READS,
    **{f"snapshot, {name}": Call(of, in_snapshot(run)) for name, (of, run) in READS.items()},
    "save": Call(every(event=events), lambda store, of: store.save(**of)),
    "save_many": Call(every(events=many_events), lambda store, of: store.save_many(**of)),
    "delete": Call(ids, lambda store, of: store.delete(**of)),
    "Event": Call(
        some(
            id=hostile(str) | junk,
            source=hostile(str) | junk,
            timestamp=hostile(float) | junk,
            tags=hostile(list) | junk,
            content=hostile(str) | junk,
        ),
        lambda _, of: Event(**of),
    ),
}


def opened(store: LMDBEventStore, options: dict[str, Any]) -> None:
    """Open a store with options, and close it; the current folder is an empty one."""
    before = _files(os.getcwd())
    try:
        LMDBEventStore(**{"path": store._path, **options}).close()
    except BaseException:
        assert _files(os.getcwd()) == before
        raise
    for folder, _, names in os.walk(os.getcwd(), topdown=False):
        for name in names:
            os.unlink(os.path.join(folder, name))
        if folder != os.getcwd():
            os.rmdir(folder)


def _files(folder: str) -> list[tuple[bytes, list[bytes]]]:
    return [(inside, sorted(names)) for inside, _, names in os.walk(os.fsencode(folder))]


def _no_way_out(path: object) -> bool:
    return not any(mark in str(path) for mark in ("/", "b'", "x2f"))


paths = st.sampled_from(
    ["new", "no/where", "n\0", "\udcff", "\ud800", "é" * 300, ""]
) | junk.filter(
    _no_way_out  # tests write nowhere else
)
switches = st.booleans() | hostile(int) | junk
ONLY_LMDB: dict[str, Call] = {
    "LMDBEventStore": Call(
        some(
            path=paths,
            create=switches,
            readonly=switches,
            durability=st.sampled_from(["full", "none"]) | junk,
            consistency=st.sampled_from(["strict", "snapshot"]) | junk,
            signatures=switches,
            map_size=st.sampled_from([None, 1 << 20, 1 << 22, 1 << 56, 1 << 57]) | junk,
            max_readers=st.integers(-1, 200) | junk,
            mode=st.sampled_from([0o600, 0o660, 0o777, 0]) | junk,
        ),
        opened,
    ),
    "sign": Call(some(rebuild=switches), lambda store, of: store.sign(**of)),
    "stats": Call(some(), lambda store, _: store.stats()),
    "flush": Call(some(), lambda store, _: store.flush()),
    "verify": Call(some(pages=switches), lambda store, of: store.verify(**of)),
    "purge": Call(
        some(
            before=times,
            max_events=numbers,
            max_bytes=numbers,
            flags=flags,
            keep_flags=flags,
            dry_run=switches,
            progress=st.none() | inert,
        ),
        lambda store, of: store.purge(**of),
    ),
}


def state(store: EventStore) -> object:
    """Return all that the store holds, and which transaction of LMDB was its last."""
    last = None
    if isinstance(store, LMDBEventStore):
        last = store._environment.lmdb.info()["last_txnid"]
    return last, list(store.search()), store.flags(), len(store)


def one_round(store: EventStore, calls: dict[str, Call], rounds: Rounds) -> None:
    @seed(rounds.random.randrange(1 << 32))
    @settings(
        database=None,
        deadline=None,
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.sampled_from(sorted(calls)).flatmap(
            lambda name: st.tuples(st.just(name), calls[name].arguments)
        )
    )
    def every_call(drawn: tuple[str, dict[str, Any]]) -> None:
        name, arguments = drawn
        before = state(store)
        rounds.add("calls")
        try:
            calls[name].run(store, unboxed(arguments))
        except REFUSALS as error:
            refused = error
        else:
            rounds.add("accepted")
            return
        rounds.add("refused")
        assert type(refused) in REFUSALS, repr(refused)
        assert str(refused).isprintable()
        assert state(store) == before, "a call that failed has changed the store"

    every_call()


def refill(store: EventStore) -> None:
    for event in list(store.search())[KEPT:]:
        store.delete(event.id)
    for n, known in enumerate(KNOWN):
        if known not in store:
            store.save(Event(known, "s", float(n % 3), ["a", "b"][: n % 3], f"content {n}"))


@pytest.fixture(params=["memory", "lmdb"])
def fuzzed(
    request: pytest.FixtureRequest, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EventStore]:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    if request.param == "memory":
        with MemoryEventStore() as memory:
            yield memory
    else:
        with LMDBEventStore(path, durability="none") as store:
            yield store


@pytest.mark.endurance(
    "every public call with junk for arguments: refused, nothing written", rounds=10
)
def test_junk_is_refused_and_nothing_is_written(fuzzed: EventStore, rounds: Rounds) -> None:
    """Only the package's own exceptions come out, and what the caller's own code raised."""
    lmdb = isinstance(fuzzed, LMDBEventStore)
    for _ in rounds:
        refill(fuzzed)
        one_round(fuzzed, {**CALLS, **ONLY_LMDB} if lmdb else CALLS, rounds)
    if isinstance(fuzzed, LMDBEventStore):
        rounds.add("events compared at the end", assert_indexes_agree(fuzzed))
        assert fuzzed.verify() == []
