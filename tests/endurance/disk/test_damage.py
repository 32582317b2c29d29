"""Random entries of any database are changed: `verify` against a naive check, then `repair`.

The damage is written through LMDB, so the pages are sound and only the contents are wrong.
`tests.tools.indexes` compares everything in a naive way, and is the oracle: `verify` finds
something if and only if the naive check does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lmdbstore import Event, LMDBEventStore, StoreOpenError, repair
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import Databases
from tests.tools.damages import small_runs
from tests.tools.ids import entry_of
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.tools.rounds import Rounds

EVENTS, RUN = 600, 64
PAIRS = ("postings", "run_postings")
LONGEST = 511  # bytes of a key


class State(NamedTuple):
    """All entries of a store that a repair reads, except those of posting sets.

    `ids` has the timeline key to which each id leads.
    """

    live: dict[bytes, bytes]
    runs: dict[bytes, bytes]
    ids: dict[str, bytes | None]
    summaries: dict[bytes, bytes]
    dead: dict[bytes, bytes]


def make(path: Path, chance: random.Random) -> list[Event]:
    """Make a store with equal timestamps, long texts, gaps in its local ids, and late events."""
    with LMDBEventStore(path) as store:
        for begin, end in ((0, 400), (400, 540), (540, EVENTS)):
            store.save_many(
                Event(
                    f"e{n}",
                    timestamp=chance.choice([1.0, float(n), -float(n)]),
                    tags=chance.sample(["a", "b", "", "t" * 600], chance.randrange(4)),
                    content=f"content {chance.random()} " * chance.choice([1, 5]),
                )
                for n in range(begin, end)
            )
        for n in range(0, EVENTS, 13):
            store.delete(f"e{n}")
        return list(store.search())


def read(store: LMDBEventStore) -> State:
    def work(txn: Any, dbs: Databases) -> State:
        found = {name: dict(txn.cursor(db=getattr(dbs, name))) for name in State._fields}
        names = (f"e{n}" for n in range(EVENTS))
        return State(**found | {"ids": {name: entry_of(txn, dbs, name) for name in names}})

    return store._session.read(work)


def changed(data: bytes, chance: random.Random) -> bytes:
    """Flip a bit, cut, lengthen, zero or replace the data; it does not become empty."""
    at, how = chance.randrange(len(data)), chance.randrange(6)
    bit = bytes([data[at] ^ 1 << chance.randrange(8)])
    return [
        *(data[:at] + bit + data[at + 1 :],) * 2,
        data[:at] or b"\1",
        (data + bit)[-max(LONGEST, len(data)) :],
        bytes(len(data)),
        chance.randbytes(len(data)),
    ][how]


def damage(store: LMDBEventStore, chance: random.Random) -> None:
    """Change some entries of some databases."""
    with writing(store) as (txn, databases):
        for _ in range(chance.choice([1, 1, 1, 2, 5])):
            _damage_once(txn, databases, chance)


def _damage_once(txn: Any, dbs: Databases, chance: random.Random) -> None:
    name = chance.choice(Databases._fields)
    db, pairs = getattr(dbs, name), name in PAIRS
    entries = list(txn.cursor(db=db))
    if not entries:
        return
    (key, value), (other, other_value) = chance.choice(entries), chance.choice(entries)
    size = len(value)
    new = changed(value, chance)[:size].ljust(size, b"?") if pairs else changed(value, chance)
    what = chance.choice(["lose", "value", "key", "copy", "swap"])
    if what in {"lose", "key"} or pairs:
        txn.delete(key, value if pairs else b"", db=db)
    if what == "value":
        txn.put(key, new, db=db)
    elif what in {"key", "copy"}:
        txn.put(changed(key, chance)[:LONGEST], value, db=db)
    elif what == "swap":
        txn.put(key, other_value, db=db)
        txn.put(other, value, db=db)


def has_identity(txn: Any, databases: Databases) -> bool:
    return fmt.decode_identity(txn.get(fmt.IDENTITY, db=databases.meta) or b"") is not None


@pytest.mark.endurance("Entries of any database are changed, and verified and repaired", rounds=3)
def test_what_is_changed_by_chance_is_found_and_repaired(
    path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_runs(monkeypatch, RUN)
    events = {event.id: event for event in make(path, rounds.random)}
    with LMDBEventStore(path) as store:
        sound = read(store)
    whole = (path / "data.mdb").read_bytes()
    for _ in rounds:
        (path / "data.mdb").write_bytes(whole)
        with LMDBEventStore(path) as store:
            damage(store, rounds.random)
            left = read(store)
            found = store.verify(pages=True)
            try:
                assert_indexes_agree(store)
                agree = store._session.read(has_identity)
            except Exception:  # it decodes damaged data without checks
                agree = False
            assert (found == []) == agree, found
        rounds.add("stores")
        rounds.add("findings", len(found))
        _check_repair(path, rounds, events, sound, left)
    (path / "data.mdb").write_bytes(whole)


def _check_repair(
    path: Path, rounds: Rounds, events: dict[str, Event], sound: State, left: State
) -> None:
    """Only unchanged events are kept, at their position; no deleted event comes back."""
    try:
        repaired = repair(path)
    except StoreOpenError as error:
        assert "format version" in str(error)  # noqa: PT017  one of many outcomes
        rounds.add("refused for their format version")
        return
    if repaired.old_file is not None:
        os.unlink(repaired.old_file)
    with LMDBEventStore(path) as store:
        assert store.verify(pages=True) == []
        assert_indexes_agree(store)
        kept = {event.id: event for event in store.search()}
        after = read(store)
    back = kept.keys() - events.keys()
    assert all(event == events[name] for name, event in kept.items() if name not in back)
    if (sound.dead == left.dead and sound.summaries == left.summaries) or sound.ids == left.ids:
        assert not back, "deleted events came back"
    for name in events:
        key = sound.ids[name]
        assert key is not None
        if left.ids[name] == key and is_whole(sound, left, key):
            assert name in kept, "an event that could be kept is lost"
            assert after.ids[name] == key
    rounds.add("events kept", len(kept))
    rounds.add("events lost", len(events) - len(kept))


def is_whole(sound: State, left: State, key: bytes) -> bool:
    """Whether the record at a key, or the whole run that has it, is not changed."""
    if key in sound.live:
        return sound.live[key] == left.live.get(key)
    end = min(end for end in sound.runs if end >= key)
    same = all(
        getattr(sound, name).get(end) == getattr(left, name).get(end)
        for name in ("runs", "summaries", "dead")
    )
    return same and all(end in sound.runs for end in left.runs)
