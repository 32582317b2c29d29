"""Entries of indexes that belong to no record, and totals that are wrong, one by one.

Rules: this looks at an index only if the number of its entries, or the sum of its totals, is wrong.
Entries of what was reported as damaged are passed over.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt
from lmdbstore.errors import StoreDamaged, shown
from lmdbstore.read.one import event_at
from lmdbstore.records.ids import ENTRY, ID_KEY, entry_at, id_key, key_at, place_in
from lmdbstore.records.layout import digest
from lmdbstore.records.record import TermKeys
from lmdbstore.records.run import Run, positions

from .findings import FindingKind

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases

    from .walk import Check, Walker

    Txn = Transaction[bytes]

__all__ = ["Strays", "event_in", "weight_of"]


class Strays:
    """Looks for the record of each entry."""

    def __init__(self, walker: Walker) -> None:
        """Report to `walker`."""
        self._walker = walker
        # Reported already: timeline keys, entries of ids (of those that are missing, the
        # id keys), ends of runs, and damaged runs, each
        # with the end of the run before it.
        self.keys: set[bytes] = set()
        self.ids: set[bytes] = set()
        self.ends: set[bytes] = set()
        self.damaged: list[tuple[bytes, bytes]] = []

    def look(self, name: str) -> None:
        """Report the strays of an index."""
        check: Check = getattr(self, f"_check_{name}")
        self._walker.walk(name, check, ordered=True)

    def _is_reported(self, key: bytes) -> bool:
        """Whether an event is reported already, or in a damaged run."""
        if key in self.keys:
            return True
        at = bisect_left(self.damaged, key, key=_end)
        return at < len(self.damaged) and self.damaged[at][0] < key

    def _is_run(self, end: bytes) -> bool:
        return end in self.ends or any(end == damaged for _, damaged in self.damaged)

    def count_ids(self) -> int:
        """Return how many entries of ids there are; one that is cut off counts, too."""
        entries = 0

        def count(_: Txn, __: Databases, ___: bytes, group: bytes) -> None:
            nonlocal entries
            entries += -(-len(group) // ENTRY)

        self._walker.walk(fmt.IDS.decode(), count)
        return entries

    def _check_ids(self, txn: Txn, databases: Databases, last: bytes, group: bytes) -> None:
        for place in range(0, len(group), ENTRY):
            entry, key = entry_at(group, place), key_at(group, place)
            cut = len(entry) < ENTRY
            if (entry[:ID_KEY] if cut else entry) in self.ids or (
                not cut and self._is_reported(key)
            ):
                continue
            event = None if cut else event_in(txn, databases, key)
            wanted = None if event is None else id_key(event.id, databases.seed)
            twice = place_in(group, entry) < place
            if wanted != entry[:ID_KEY] or _group_of(txn, databases, wanted) != last or twice:
                detail = f"{entry[:ID_KEY].hex()} leads to {key.hex()}"
                self._walker.find(FindingKind.ID_STRAY, fmt.IDS.decode(), detail)

    def _check_postings(self, txn: Txn, databases: Databases, term: bytes, key: bytes) -> None:
        if key in self.keys:
            return
        found = None if txn.get(key, db=databases.live) is None else event_in(txn, databases, key)
        if found is None or term not in TermKeys().of(found.source, found.tags):
            detail = f"{shown(term)} names {key.hex()}"
            event_id = None if found is None else found.id
            self._walker.find(FindingKind.POSTING_STRAY, fmt.POSTINGS.decode(), detail, event_id)

    def _check_run_postings(
        self, txn: Txn, databases: Databases, term: bytes, posting: bytes
    ) -> None:
        end = fmt.posting_key(posting)
        slots = None if self._is_run(end) else _slots(txn, databases, term, end)
        if not self._is_run(end) and (slots is None or posting != fmt.run_posting(end, slots)):
            detail = f"{shown(term)} has {posting.hex()}"
            self._walker.find(FindingKind.POSTING_STRAY, fmt.RUN_POSTINGS.decode(), detail)

    def _check_summaries(self, txn: Txn, databases: Databases, end: bytes, _: bytes) -> None:
        if txn.get(end, db=databases.runs) is not None:
            return
        with txn.cursor(db=databases.runs) as cursor:
            there = cursor.prev() if cursor.set_range(end) else cursor.last()
            before = cursor.key() if there else fmt.FIRST_KEY
        insort(self.damaged, (before, end), key=_end)
        detail = f"none ends at {end.hex()}"
        self._walker.find(FindingKind.RUN_MISSING, fmt.RUNS.decode(), detail)

    def _check_dead(self, txn: Txn, databases: Databases, end: bytes, _: bytes) -> None:
        if not self._is_run(end) and txn.get(end, db=databases.runs) is None:
            detail = f"no run ends at {end.hex()}"
            self._walker.find(FindingKind.DEAD_WRONG, fmt.DEAD.decode(), detail)

    def _check_commits(self, txn: Txn, databases: Databases, highest: bytes, entry: bytes) -> None:
        _, end = fmt.decode_commit(entry.ljust(len(fmt.FIRST_KEY) + len(fmt.NO_LOCAL_ID), b"\0"))
        if self._is_run(end):
            return
        value = txn.get(end, db=databases.runs)
        run = None if value is None else Run(end, value)
        if (
            run is None
            or highest != fmt.encode_number(run.highest)
            or entry != fmt.commit_entry(run.lowest, end)
        ):
            detail = f"{highest.hex()} has {entry.hex() or 'nothing'}"
            self._walker.find(FindingKind.COMMIT_WRONG, fmt.COMMITS.decode(), detail)

    # -- totals -----------------------------------------------------------------------------------

    def look_at_totals(self) -> None:
        """Count the events of each term, and report the totals that are wrong."""
        self._walker.walk(fmt.TOTALS.decode(), self._check_total, ordered=True)
        last = b""

        def check(txn: Txn, databases: Databases, term: bytes, _: bytes) -> None:
            nonlocal last
            if term != last and txn.get(term, db=databases.totals) is None:
                self._check_total(txn, databases, term, b"")
            last = term

        self._walker.walk(fmt.RUN_POSTINGS.decode(), check, ordered=True)

    def _check_total(self, txn: Txn, databases: Databases, term: bytes, total: bytes) -> None:
        expected = 0
        with txn.cursor(db=databases.run_postings) as cursor:
            if cursor.set_key(term):
                for end in {fmt.posting_key(posting) for posting in cursor.iternext_dup()}:
                    slots = _slots(txn, databases, term, end) or ()
                    deleted = positions(txn.get(end, db=databases.dead, default=b""))
                    expected += len(set(slots).difference(deleted))
        if total != fmt.encode_number(expected) and (total or expected):
            detail = f"that of {shown(term)} is {total.hex() or 'not there'}, not {expected:,}"
            self._walker.find(FindingKind.TOTAL_WRONG, fmt.TOTALS.decode(), detail)


def _end(damaged: tuple[bytes, bytes]) -> bytes:
    return damaged[1]


def _group_of(txn: Txn, databases: Databases, id_key: bytes) -> bytes:
    """Return the key of the group to which an id key belongs."""
    with txn.cursor(db=databases.ids) as cursor:
        return cursor.key() if cursor.set_range(id_key) else b""


def weight_of(term: bytes) -> int:
    """Return a number for a term; those of different terms have nothing in common."""
    return digest(term) + 1


def event_in(txn: Txn, databases: Databases, key: bytes) -> Event | None:
    """Return the event at a key; None if there is none, or it is damaged or deleted."""
    if not fmt.is_timeline_key(key):
        return None
    try:
        event = event_at(txn, databases, key)
    except (StoreDamaged, ValueError, IndexError):
        return None
    if event is None or fmt.encode_time(event.timestamp) != fmt.time_of(key):
        return None  # `event_at` may go by the local id alone
    return None if _is_deleted(txn, databases, key) else event


def _is_deleted(txn: Txn, databases: Databases, key: bytes) -> bool:
    with txn.cursor(db=databases.runs) as cursor:
        if not cursor.set_range(key):
            return False
        run = Run(*cursor.item())
    bits = txn.get(run.end, db=databases.dead)
    return bits is not None and run.slot_of(key) in positions(bits)


def _slots(txn: Txn, databases: Databases, term: bytes, end: bytes) -> list[int] | None:
    """Return the slots of a term in a run; None: the run has none of it."""
    value = txn.get(end, db=databases.runs)
    if value is None:
        return None
    run = Run(end, value)
    number = run.find(digest(term).to_bytes(8, "little"))
    return None if number < 0 else run.slots(number)
