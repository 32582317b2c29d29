"""The check that every test of the LMDB store ends with: all indexes against the records."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from lmdbstore import LMDBEventStore
from lmdbstore.contract.checking import checked
from lmdbstore.disk import format as fmt
from lmdbstore.patterns.signature import GRAM, holds
from lmdbstore.records.ids import GROUP, ID_KEY, entries_in, id_key
from lmdbstore.records.layout import digest, record_checksum
from lmdbstore.records.named import decode_named
from lmdbstore.records.pack import bitmap, directory_of, pack
from lmdbstore.records.record import TermKeys, checked_record, decode
from lmdbstore.records.run import Run, positions
from tests.tools.ids import all_entries

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases

PART = 64  # bytes
NEXT_LIMIT = fmt.encode_number(fmt.LOCAL_IDS)


class _Expected:
    """The entries that belong to the records."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.local_ids: set[bytes] = set()  # of all records, those of deleted events included
        self.ids: list[tuple[bytes, bytes]] = []
        self._known: set[str] = set()
        self.postings: list[tuple[bytes, bytes]] = []
        self.run_postings: list[tuple[bytes, bytes]] = []
        self.totals: Counter[bytes] = Counter()
        self.commits: dict[bytes, bytes] = {}
        self.sealed = 0

    def note_record(self, key: bytes, event: Event) -> None:
        assert event == checked(event)
        assert fmt.time_of(key) == fmt.encode_time(event.timestamp)
        assert fmt.local_id_of(key) not in self.local_ids, "a local id was given twice"
        self.local_ids.add(fmt.local_id_of(key))

    def note_event(self, key: bytes, event: Event) -> None:
        assert event.id not in self._known, "two events have the same id"
        self._known.add(event.id)
        self.ids.append((id_key(event.id, self._seed), key))


class _Found(NamedTuple):
    """All entries of a store."""

    live: Any
    runs: Any
    ids: Any
    postings: Any
    run_postings: Any
    totals: Any
    summaries: Any
    dead: Any
    commits: Any
    checkpoints: Any
    cursors: Any
    meta: Any


def assert_indexes_agree(store: LMDBEventStore | str | os.PathLike[str]) -> int:
    """Compare everything in a store with its records; return the number of events."""
    if isinstance(store, LMDBEventStore):
        return store._session.read(_compare)
    with LMDBEventStore(store, create=False) as opened:
        return opened._session.read(_compare)


def _compare(txn: Transaction[bytes], databases: Databases) -> int:
    found = _Found(*(list(txn.cursor(db=database)) for database in databases))
    expected = _Expected(databases.seed)
    _note_live(found, expected)
    _note_runs(found, expected)
    assert all_entries(found.ids) == sorted(expected.ids), "ids and the records differ"
    _check_groups(found.ids)
    assert found.postings == sorted(expected.postings), "the posting sets and the records differ"
    assert found.run_postings == sorted(expected.run_postings), "run_postings and the runs differ"
    totals = {term: fmt.decode_number(total) for term, total in found.totals}
    assert Counter(totals) == expected.totals, "the totals and the runs differ"
    assert dict(found.commits) == expected.commits, "commits and the runs differ"
    for key, value in found.checkpoints + found.cursors:
        named = decode_named(value)
        assert named is not None, f"{key!r} has no named text"
        assert named.key == key
    meta = dict(found.meta)
    assert meta[fmt.SEALED] == fmt.encode_number(expected.sealed)
    assert len(meta[fmt.NEXT]) == len(fmt.NO_LOCAL_ID)
    assert meta[fmt.NEXT] < NEXT_LIMIT
    assert all(bytes(8) < local_id < meta[fmt.NEXT] for local_id in expected.local_ids)
    assert meta[fmt.SEED] == fmt.encode_checked(databases.seed)
    assert meta[fmt.FORMAT] == fmt.encode_checked(fmt.VERSION)
    assert txn.get(fmt.TRANSACTION) == fmt.encode_checked(txn.id())
    return len(expected.ids)


def _check_groups(groups: list[tuple[bytes, bytes]]) -> None:
    before = b""
    for last, group in groups:
        entries = entries_in(group)
        assert all(before < entry[:ID_KEY] <= last for entry in entries), "not in its group"
        assert entries, "a group is empty"
        assert len({entry[:ID_KEY] for entry in entries}) == 1 or len(group) <= GROUP
        before = last


def _note_live(found: _Found, expected: _Expected) -> None:
    records = [checked_record(value) for _, value in found.live]
    for (key, _), event in zip(found.live, decode(records), strict=True):
        expected.note_record(key, event)
        expected.note_event(key, event)
        expected.postings += [(term, key) for term in TermKeys().of(event.source, event.tags)]


def _note_runs(found: _Found, expected: _Expected) -> None:
    before, index, dead = fmt.FIRST_KEY, dict(found.summaries), dict(found.dead)
    for end, value in found.runs:
        _note_run(expected, before, Run(end, value), index.pop(end), dead.pop(end, b""))
        before = end
    assert not index, "the index has a run that is not there"
    assert not dead, "events are deleted of a run that is not there"


def _note_run(expected: _Expected, before: bytes, run: Run, note: bytes, dead: bytes) -> None:
    events = run.unpacked(TermKeys())
    assert all(a < b for a, b in zip([before, *events.keys], events.keys, strict=False))
    assert events.keys[-1] <= run.end
    directory = directory_of(events.terms)
    assert run.directory() == {digest(term): slots for term, slots in directory.items()}
    assert pack(events, run.directory()) == run.plain(), "a run contradicts itself"
    records = [b"%b\n%b" % both for both in zip(events.headers, events.contents, strict=True)]
    assert list(map(record_checksum, records)) == events.checksums
    gone = positions(dead)
    assert dead == (bitmap(gone, run.events) if gone else b"")
    assert all(slot < run.events for slot in gone)
    assert len(gone) < run.events, "all events of a run are deleted"
    for slot, event in enumerate(decode(records)):
        expected.note_record(events.keys[slot], event)
        if slot not in gone:
            expected.note_event(events.keys[slot], event)
            expected.totals.update(events.terms[slot])
            expected.sealed += 1
    expected.run_postings += [
        (term, fmt.run_posting(run.end, slots)) for term, slots in directory.items()
    ]
    low, high = min(events.local_ids), max(events.local_ids)
    expected.commits[fmt.encode_number(high)] = fmt.commit_entry(low, run.end)
    summary = fmt.decode_summary(note)
    assert (summary.events, summary.highest) == (run.events - len(gone), high)
    words = set(b"\n".join(_without(events.contents, gone)).split())  # no gram has white space
    filter_ = bytes(summary.signature)
    assert not filter_ or holds(filter_, _pieces(words)), "a signature lacks a gram"


def _pieces(words: set[bytes]) -> set[bytes]:
    """Return parts of the words with the same grams: many parts of a long word are equal."""
    return {
        part
        for word in words
        for part in (
            (word[at : at + PART + GRAM - 1] for at in range(0, len(word), PART))
            if word.isascii()  # else a part could begin within a letter
            else (word,)
        )
    }


def _without(contents: list[bytes], gone: list[int]) -> list[bytes]:
    return [content for slot, content in enumerate(contents) if slot not in gone]
