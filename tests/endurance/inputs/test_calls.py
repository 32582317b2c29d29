"""Every public call with invalid arguments: it refuses them, and writes nothing."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lmdbstore import (
    DuplicateEvent,
    Event,
    EventNotFound,
    EventWriteException,
    InvalidEvent,
    InvalidOption,
    InvalidQuery,
    LMDBEventStore,
    MemoryEventStore,
    StoreOpenError,
    repair,
    verify,
)
from tests.endurance.tools.junk import (
    BAD,
    KNOWN,
    Box,
    Callers,
    either,
    events,
    hostile,
    inert,
    junk,
    many_events,
    mostly_right,
    texts,
    unboxed,
)
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hypothesis.strategies import SearchStrategy

    from lmdbstore import EventStore
    from tests.tools.rounds import Rounds

EXAMPLES = 100  # of a round
KEPT = 40  # events that are left in the store at the end of a round
# The exceptions that a call may raise. No other exception of the package is allowed: bad arguments
# must not lead to a damaged store or a failure of LMDB.
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
    """A public call, and its arguments."""

    arguments: SearchStrategy[dict[str, Any]]
    run: Callable[[Any, dict[str, Any]], object]
    refusals: tuple[type[Exception], ...] = REFUSALS


class Argument(NamedTuple):
    """The valid and the invalid values of an argument."""

    right: SearchStrategy[Any]
    wrong: SearchStrategy[Any]


def some(**arguments: Argument) -> SearchStrategy[dict[str, Any]]:
    """Draw some of the arguments, at most two of them wrong."""
    if not arguments:
        return st.just({})
    names = st.sets(st.sampled_from(sorted(arguments)), min_size=1)
    return names.flatmap(lambda chosen: every(**{name: arguments[name] for name in sorted(chosen)}))


def every(**arguments: Argument) -> SearchStrategy[dict[str, Any]]:
    """Draw all of the arguments, at most two of them wrong."""
    right = {name: of.right for name, of in arguments.items()}
    return mostly_right(right, {name: of.wrong for name, of in arguments.items()})


time = Argument(st.none() | st.floats(allow_nan=False), either(hostile(float), hostile(int), junk))
flag_names = st.sampled_from(["a", "b", "", "é" * 300])
flags = Argument(st.none() | st.lists(flag_names, max_size=2), either(hostile(list), junk))
number = Argument(st.none() | st.integers(0, 99), either(st.integers(-9, -1), hostile(int), junk))
switch = Argument(st.booleans(), either(hostile(int), junk))
patterns = st.sampled_from(["(a", "(?=a)", "[", "\\", "a{1001}", "(?\x1b)", "(?P<a>", "*"])
places = ["9@nan", "0@1.0", "@", "1@-0.0", f"{'9' * 5000}@1.0", " 1@1.0", "1@1"]
limit = Argument(  # no call has to wait here, and one of 0 least of all
    st.none() | st.floats(0, 1e300) | st.integers(0, 10**400),
    either(st.floats(max_value=-5e-324) | st.just(math.nan), hostile(float), hostile(int), junk),
)
query = some(
    ts_start=time,
    ts_end=time,
    flags=flags,
    match=Argument(
        st.sampled_from([None, "a", "n.*t", "(?i)é|x", "", ".*"]),
        either(patterns, texts, hostile(str), junk),
    ),
    order=Argument(st.sampled_from(["asc", "desc"]), either(hostile(str), junk)),
    source=Argument(st.none() | st.just("s"), either(texts, hostile(str), junk)),
    limit=number,
    after=Argument(
        st.sampled_from([None, "1@1.0", "9@-5.5"]),
        either(st.sampled_from(places), hostile(str), hostile(object), junk),
    ),
    timeout=limit,
)
an_id = Argument(st.sampled_from(KNOWN), either(texts, hostile(str), junk))
ids = every(event_id=an_id)
timed_ids = every(event_id=an_id, timeout=limit)
limits = limit.right | limit.wrong


def in_snapshot(run: Callable[[Any, dict[str, Any]], object]) -> Callable[..., object]:
    def inside(store: EventStore, arguments: dict[str, Any]) -> object:
        with store.snapshot() as view:
            return run(view, arguments)

    return inside


def searched(view: Any, arguments: dict[str, Any]) -> object:
    with view.search(**arguments) as search:
        return [next(search, None), search.token, *search, search.token]


READS = {
    "get": Call(ids | timed_ids, lambda view, of: view.get(**of)),
    "get with a default": Call(
        every(event_id=an_id, default=Argument(junk, junk)), lambda view, of: view.get(**of)
    ),
    "in": Call(ids, lambda view, of: of["event_id"] in view),
    "search": Call(query, searched),
    "count": Call(query, lambda view, of: view.count(**of)),
    "explain": Call(query, lambda view, of: view.explain(**of)),
    "flags": Call(some(timeout=limit), lambda view, of: view.flags(**of)),
    "len": Call(some(), lambda view, _: len(view)),
}
CALLS: dict[str, Call] = {
    **READS,
    **{
        f"snapshot, {name}": call._replace(run=in_snapshot(call.run))
        for name, call in READS.items()
    },
    "save": Call(
        st.fixed_dictionaries({"event": events}, optional={"timeout": limits}),
        lambda store, of: store.save(**of),
    ),
    "save_many": Call(
        st.fixed_dictionaries({"events": many_events}, optional={"timeout": limits}),
        lambda store, of: store.save_many(**of),
    ),
    "delete": Call(ids | timed_ids, lambda store, of: store.delete(**of)),
    "Event": Call(
        st.fixed_dictionaries({}, optional=BAD),
        lambda _, of: Event(**of),
    ),
}


def in_empty_folder(run: Callable[[Any, dict[str, Any]], object]) -> Callable[..., object]:
    """Let a call make files in the current folder, and check that it makes none if it fails.

    The result has the arguments of `run`; it removes the files.
    """

    def inside(store: LMDBEventStore, arguments: dict[str, Any]) -> None:
        before = _files(os.getcwd())
        try:
            run(store, arguments)
        except BaseException:
            assert _files(os.getcwd()) == before
            raise
        _empty_current_folder()

    return inside


def _empty_current_folder() -> None:
    for folder, _, names in os.walk(os.getcwd(), topdown=False):
        for name in names:
            os.unlink(os.path.join(folder, name))
        if folder != os.getcwd():
            os.rmdir(folder)


def opened(store: LMDBEventStore, options: dict[str, Any]) -> None:
    LMDBEventStore(**{"path": store._path, **options}).close()


THERE = "a store that is closed"


def closed(run: Callable[..., object]) -> Callable[[LMDBEventStore, dict[str, Any]], None]:
    """Return a call of `run` on the folder of another store, which must not change."""

    def call(store: LMDBEventStore, arguments: dict[str, Any]) -> None:
        other = f"{store._path} closed"
        if not os.path.exists(other):
            with LMDBEventStore(other, durability="none") as made:
                refill(made)
        before = _files(other)
        try:
            if arguments.get("path", THERE) is THERE:
                arguments["path"] = other
            run(**arguments)
        finally:
            assert _files(other) == before
            assert verify(other, pages=True) == []
            with LMDBEventStore(other) as same:
                assert len(same) == len(KNOWN)

    return call


def _files(folder: str) -> list[tuple[bytes, list[bytes]]]:
    return [(inside, sorted(names)) for inside, _, names in os.walk(os.fsencode(folder))]


def raises(_: int, __: int) -> NoReturn:
    raise Callers


def _no_way_out(path: object) -> bool:
    return not any(mark in str(path) for mark in ("/", "b'", "x2f"))


paths = st.sampled_from(
    ["new", "no/where", "n\0", "\udcff", "\ud800", "é" * 300, ""]
) | junk.filter(
    _no_way_out  # tests write only in the current folder
)
folders = Argument(st.just(THERE), paths)
progress = Argument(
    st.sampled_from([None, Box("a function", lambda: lambda _, __: None)]),
    either(inert, st.just(Box("a function that raises", lambda: raises))),
)
ONLY_LMDB: dict[str, Call] = {
    "LMDBEventStore": Call(
        some(
            path=Argument(st.just("new"), paths),
            create=switch,
            readonly=switch,
            durability=Argument(st.sampled_from(["full", "none"]), either(hostile(str), junk)),
            consistency=Argument(
                st.sampled_from(["strict", "snapshot"]), either(hostile(str), junk)
            ),
            map_size=Argument(
                st.sampled_from([None, 1 << 20, 1 << 22]),
                either(st.sampled_from([1 << 56, 1 << 57]), hostile(int), junk),
            ),
            max_readers=Argument(st.integers(1, 200), either(hostile(int), junk)),
            mode=Argument(
                st.sampled_from([0o600, 0o660]),
                either(st.sampled_from([0o777, 0]), hostile(int), junk),
            ),
            timeout=limit,
        ),
        in_empty_folder(opened),
    ),
    "seal": Call(some(), lambda store, _: store.seal()),
    "stats": Call(some(timeout=limit), lambda store, of: store.stats(**of)),
    "flush": Call(some(), lambda store, _: store.flush()),
    "verify": Call(some(pages=switch, progress=progress), lambda store, of: store.verify(**of)),
    "verify a folder": Call(
        some(path=folders, pages=switch, progress=progress, timeout=limit), closed(verify)
    ),
    "repair": Call(some(path=folders, keep_changed=switch, progress=progress), closed(repair)),
    "backup": Call(
        every(path=Argument(st.just("new"), paths), progress=progress),
        in_empty_folder(lambda store, of: store.backup(**of)),
        (*REFUSALS, EventWriteException),  # if the target of a backup is impossible
    ),
    "compact": Call(some(progress=progress), lambda store, of: store.compact(**of)),
    "purge": Call(
        some(
            before=time,
            max_events=number._replace(right=st.integers(20, 99)),
            max_bytes=number._replace(right=st.just(1 << 30)),
            flags=flags,
            keep_flags=flags,
            dry_run=switch,
            progress=Argument(st.none(), inert),  # it is called after deletes
        ),
        lambda store, of: store.purge(**of),
    ),
}
WRITES = ["save", "save_many", "save_many", "delete"]  # half of all calls


def storable(event: Event) -> bool:
    """Whether an event is valid according to the README, without the package's own checks."""
    texts = [event.id, event.source, event.content, *event.tags]
    return (
        {type(text) for text in texts} == {str}
        and "".join(texts).encode("utf-8", "replace").decode() == "".join(texts)
        and type(event.timestamp) is float
        and math.isfinite(event.timestamp)
        and event.id != ""
        and len(set(event.tags)) == len(event.tags)
    )


def state(store: EventStore) -> object:
    """Return all contents of the store, and the number of LMDB's last transaction."""
    last = None
    if isinstance(store, LMDBEventStore):
        last = store._session._environment.lmdb.info()["last_txnid"]
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
        either(st.sampled_from(sorted(calls)), st.sampled_from(WRITES)).flatmap(
            lambda name: st.tuples(st.just(name), calls[name].arguments)
        )
    )
    def every_call(drawn: tuple[str, dict[str, Any]]) -> None:
        name, arguments = drawn
        before = state(store)
        rounds.add("calls")
        try:
            calls[name].run(store, unboxed(arguments))
        except calls[name].refusals as error:
            refused = error
        else:
            rounds.add("accepted")
            return
        rounds.add("refused")
        assert type(refused) in calls[name].refusals, repr(refused)
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
    "every public call with junk for arguments: refused, nothing written", rounds=2
)
def test_junk_is_refused_and_nothing_is_written(fuzzed: EventStore, rounds: Rounds) -> None:
    """Calls raise only the package's exceptions, and those of the caller's own code."""
    calls = {**CALLS, **ONLY_LMDB} if isinstance(fuzzed, LMDBEventStore) else CALLS
    for _ in rounds:
        refill(fuzzed)
        one_round(fuzzed, calls, rounds)
        for event in fuzzed.search():
            assert storable(event), f"{event!r} should have been refused"
        if isinstance(fuzzed, LMDBEventStore):
            rounds.add("events compared with all indexes", assert_indexes_agree(fuzzed))
            assert fuzzed.verify() == []


@pytest.mark.parametrize(
    ("work", "argument", "value"),
    [
        *(("repair", "keep_changed", value) for value in (1, 0, "no", None)),
        *(("verify a folder", "pages", value) for value in (1, 0, "no", None)),
        *(("verify", "pages", value) for value in (1, 0, "no", None)),
        *(("backup", "path", value) for value in ("\ud800", "a\0b", "", None, 5)),
        *(
            (work, "progress", value)
            for work in ("verify", "verify a folder", "repair", "backup", "compact")
            for value in (5, "x", True)
        ),
    ],
)
def test_options_of_care_and_check_are_validated_first(
    path: Path, tmp_path: Path, work: str, argument: str, value: object
) -> None:
    LMDBEventStore(tmp_path / "other").close()
    with LMDBEventStore(path) as store:
        calls: dict[str, Callable[..., object]] = {
            "verify": store.verify,
            "compact": store.compact,
            "backup": lambda **of: store.backup(**{"path": tmp_path / "backup", **of}),
            "verify a folder": lambda **of: verify(tmp_path / "other", **of),
            "repair": lambda **of: repair(tmp_path / "other", **of),
        }
        before = _files(str(tmp_path))
        with pytest.raises(InvalidOption, match=f"^{argument}: "):
            calls[work](**{argument: value})
        assert _files(str(tmp_path)) == before
