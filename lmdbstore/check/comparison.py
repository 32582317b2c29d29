"""Comparing every record with every index, and back, and checking all orders and counts.

Rules: one state of the store is read, in pieces, each in one transaction. Memory does not grow with
the store, only with the number of findings. No finding stops the comparison.

Each record is looked up in the indexes, and each entry that belongs to it is counted. Then each
index is walked and its entries are counted. Different records have different entries (an entry of
`ids`, an entry of `commits` and a pair of `flags` each name one timeline key), so if both counts
are equal every entry belongs to a record. Only if they differ, the record of each entry is looked
up. The contents of a damaged record are not trusted, and its index entries are not reported.
"""

from __future__ import annotations

from itertools import chain, islice, takewhile
from typing import TYPE_CHECKING, TypeVar

import lmdb

from lmdbstore.contract.checking import checked
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import NAMES, doubt_of
from lmdbstore.disk.folder import DATA_FILE
from lmdbstore.errors import InvalidEvent, StoreDamaged, shown
from lmdbstore.patterns.signature import holds

from .evidence import Evidence
from .findings import Finding, FindingKind
from .walk import PIECE_ENTRIES, after, pieces

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases, Reads

    from .walk import Progress

    Txn = Transaction[bytes]

__all__ = ["Comparison"]

T = TypeVar("T")

TIMELINE, IDS, FLAGS, COMMITS, SIGNATURES, META = (
    name.decode()
    for name in (fmt.TIMELINE, fmt.IDS, fmt.FLAGS, fmt.COMMITS, fmt.SIGNATURES, fmt.META)
)


class Comparison:
    """One pass through a store; `run` it once."""

    def __init__(self, reads: Reads, progress: Progress | None) -> None:
        """Read with `reads`; report events to `progress`."""
        self._reads = reads
        self._progress = progress
        self._findings: list[Finding] = []
        self._highest = b""  # local id of a record
        self._events = self._total = 0
        self._belonging = dict.fromkeys((IDS, FLAGS, COMMITS), 0)  # entries of some record
        # Reported as damaged already: timeline keys, keys of `ids` and of `commits`.
        self._reported: set[bytes] = set()
        self._reported_ids: set[bytes] = set()
        self._reported_commits: set[bytes] = set()

    def run(self) -> list[Finding]:
        """Return everything that is wrong."""
        self._guarded(META, self._check_meta)
        self._walk(META, None)
        self._walk(TIMELINE, self._check_record)
        self._guarded(META, self._check_next)
        for name, strays in (
            (IDS, self._check_id),
            (FLAGS, self._check_posting),
            (COMMITS, self._check_commit),
        ):
            if self._walk(name, None) != self._belonging[name]:
                self._walk(name, strays, ordered=True)
        self._walk_runs()
        return self._findings

    # -- walking ----------------------------------------------------------------------------------

    def _find(
        self, kind: FindingKind, where: str, detail: str, event_id: str | None = None
    ) -> None:
        self._findings.append(Finding(kind, where, detail, event_id))

    def _guarded(self, where: str, work: Callable[[Txn, Databases], T]) -> T | None:
        """Run `work`; None if LMDB cannot read any further."""

        def guarded(txn: Txn, databases: Databases) -> T | None:
            try:
                return work(txn, databases)
            except lmdb.Error as error:
                self._find(FindingKind.PAGE, where, f"it cannot be read any further: {error}")
                return None

        return self._reads(guarded)

    def _walk(
        self,
        name: str,
        check: Callable[[Txn, Databases, bytes, bytes], None] | None,
        *,
        ordered: bool = False,
    ) -> int:
        """Check each entry; return how many there are. `ordered`: the order is checked already."""
        place: tuple[bytes, bytes] | None = (b"", b"")
        walked = 0

        def piece(txn: Txn, databases: Databases) -> tuple[bytes, bytes] | None:
            nonlocal walked
            before = place
            most = PIECE_ENTRIES + txn.stat(getattr(databases, name))["entries"]
            with txn.cursor(db=getattr(databases, name)) as cursor:
                for entry in islice(after(cursor, place, pairs=name == FLAGS), PIECE_ENTRIES):
                    if before is not None and entry <= before and walked and not ordered:
                        self._find(FindingKind.ORDER, name, f"{_hex(entry[0])} is out of order")
                    if check is not None:
                        check(txn, databases, *entry)
                    walked += 1
                    before = entry
            # If the order is broken, continuing after an entry may lead back to it.
            return before if before != place and walked <= most else None

        while place is not None:
            place = self._guarded(name, piece)
            if name == TIMELINE and self._progress is not None:
                self._progress(walked, max(self._total, walked))
        if not ordered:
            self._guarded(name, lambda txn, databases: self._count(txn, databases, name, walked))
        return walked

    def _count(self, txn: Txn, databases: Databases, name: str, walked: int) -> None:
        counted = txn.stat(getattr(databases, name))["entries"]
        if counted != walked:
            detail = f"LMDB counts {counted:,} entries, and {walked:,} are there"
            self._find(FindingKind.COUNT, name, detail)

    # -- meta -------------------------------------------------------------------------------------

    def _check_meta(self, txn: Txn, databases: Databases) -> None:
        self._total = txn.stat(databases.timeline)["entries"]
        version = txn.get(fmt.FORMAT, db=databases.meta)
        if version != fmt.encode_checked(fmt.VERSION):
            was = "there is none" if version is None else f"it is {_hex(version)}"
            self._find(FindingKind.FORMAT, META, f"{was}; it should be {fmt.VERSION}")
        identity = txn.get(fmt.IDENTITY, db=databases.meta)
        if fmt.decode_identity(identity or b"") is None:
            was = "there is none" if identity is None else f"it is {_hex(identity)}"
            self._find(FindingKind.IDENTITY, META, was)
        if doubt := doubt_of(txn):
            self._find(FindingKind.TRANSACTION, DATA_FILE, doubt)
        with txn.cursor() as cursor:
            names = set(cursor.iternext(keys=True, values=False)) - {fmt.TRANSACTION}
            for name in names - NAMES:
                self._find(FindingKind.DATABASE, shown(name), "it does not belong to a store")

    def _check_next(self, txn: Txn, databases: Databases) -> None:
        following = txn.get(fmt.NEXT, db=databases.meta)
        if following is None:
            self._find(FindingKind.NEXT_LOCAL_ID, META, "there is none")
        elif following <= self._highest or not fmt.is_local_id(following):
            detail = f"it is {_hex(following)}, and {_hex(self._highest)} is used already"
            self._find(FindingKind.NEXT_LOCAL_ID, META, detail)

    # -- records ----------------------------------------------------------------------------------

    def _check_record(self, txn: Txn, databases: Databases, key: bytes, record: bytes) -> None:
        try:
            event = _saved_event(key, record)
        except (StoreDamaged, InvalidEvent) as error:
            self._highest = max(self._highest, fmt.local_id_of(key))
            self._mark_reported(key)
            self._find(FindingKind.RECORD_UNREADABLE, TIMELINE, f"{_hex(key)}: {error}")
            return
        seen = Evidence(
            key,
            event,
            fmt.checksum(record),
            txn.get(fmt.text_key(event.id), db=databases.ids),
            txn.get(fmt.local_id_of(key), db=databases.commits),
        )
        checksums = seen.checksums
        if checksums and not seen.is_vouched_for:
            self._highest = max(self._highest, fmt.local_id_of(key))
            self._mark_reported(key)
            detail = "it does not agree with its checksum"
            self._find(FindingKind.RECORD_CHANGED, TIMELINE, detail, event.id)
        elif _is_misplaced(txn, databases, seen):
            self._mark_reported(
                key, fmt.join_key(seen.time, seen.local_id), fmt.key_in(seen.entry or key)
            )
            detail = f"it is at {_hex(key)}"
            self._find(FindingKind.RECORD_MISPLACED, TIMELINE, detail, event.id)
        else:
            self._highest = max(self._highest, fmt.local_id_of(key))
            for where, found in checksums.items():
                if found != seen.checksum:
                    detail = f"{_hex(found)} instead of {_hex(seen.checksum)}"
                    self._find(FindingKind.CHECKSUM_WRONG, where.decode(), detail, event.id)
            self._look_up_id(txn, databases, seen)
            self._look_up_commit(seen)
            self._look_up_flags(txn, databases, key, event)

    def _mark_reported(self, *keys: bytes) -> None:
        self._reported.update(keys)
        self._reported_commits.update(map(fmt.local_id_of, keys))

    def _look_up_id(self, txn: Txn, databases: Databases, seen: Evidence) -> None:
        event_id = seen.event.id
        if seen.entry is None:
            self._find(FindingKind.ID_MISSING, IDS, "it is not there", event_id)
            return
        found = fmt.key_in(seen.entry)
        if found == seen.key:
            self._belonging[IDS] += 1
            return
        other = txn.get(found, db=databases.timeline) if found else None
        if other is not None and _id(other) == event_id:
            detail = f"at {_hex(seen.key)} and at {_hex(found)}"
            self._find(FindingKind.ID_TWICE, TIMELINE, detail, event_id)
            return
        self._reported_ids.add(fmt.text_key(event_id))
        detail = f"it leads to {_hex(found)} instead of {_hex(seen.key)}"
        self._find(FindingKind.ID_WRONG, IDS, detail, event_id)

    def _look_up_commit(self, seen: Evidence) -> None:
        local_id, commit = fmt.decode_number(seen.local_id), seen.commit
        if commit is None:
            detail = f"{local_id:,} is not there"
            self._find(FindingKind.COMMIT_MISSING, COMMITS, detail, seen.event.id)
        elif (time := fmt.time_in_commit(commit)) == seen.time:
            self._belonging[COMMITS] += 1
        else:
            self._reported_commits.add(seen.local_id)
            detail = f"{local_id:,} has the timestamp {_hex(time)} instead of {_hex(seen.time)}"
            self._find(FindingKind.COMMIT_WRONG, COMMITS, detail, seen.event.id)

    def _look_up_flags(self, txn: Txn, databases: Databases, key: bytes, event: Event) -> None:
        with txn.cursor(db=databases.flags) as cursor:
            for tag in event.tags:
                if cursor.set_key_dup(fmt.text_key(tag), key):
                    self._belonging[FLAGS] += 1
                else:
                    self._find(FindingKind.FLAG_MISSING, FLAGS, f"in the set of {tag!r}", event.id)

    # -- entries that belong to no record ---------------------------------------------------------

    def _check_id(self, txn: Txn, databases: Databases, id_key: bytes, entry: bytes) -> None:
        key = fmt.key_in(entry)
        if key in self._reported or id_key in self._reported_ids:
            return
        event = _event(txn.get(key, db=databases.timeline) if key else None)
        if event is None or fmt.text_key(event.id) != id_key:
            self._find(FindingKind.ID_STRAY, IDS, f"{shown(id_key)} leads to {_hex(key)}")

    def _check_posting(self, txn: Txn, databases: Databases, flag_key: bytes, key: bytes) -> None:
        if key in self._reported:
            return
        event = _event(txn.get(key, db=databases.timeline))
        if event is None or flag_key not in map(fmt.text_key, event.tags):
            event_id = None if event is None else event.id
            self._find(
                FindingKind.FLAG_STRAY, FLAGS, f"{shown(flag_key)} names {_hex(key)}", event_id
            )

    def _check_commit(self, txn: Txn, databases: Databases, local_id: bytes, entry: bytes) -> None:
        if local_id in self._reported_commits:
            return
        time = fmt.time_in_commit(entry)
        if txn.get(fmt.join_key(time, local_id), db=databases.timeline) is None:
            self._find(FindingKind.COMMIT_STRAY, COMMITS, f"{_hex(local_id)} at {_hex(time)}")

    # -- signatures -------------------------------------------------------------------------------

    def _walk_runs(self) -> None:
        end = fmt.FIRST_KEY

        def check(txn: Txn, databases: Databases, first: bytes, value: bytes) -> None:
            nonlocal end
            filter_, run_end = value[: fmt.filter_length(value)], fmt.run_end(value)
            if first < end or run_end < first:
                detail = f"{_hex(first)} to {_hex(run_end)}, after {_hex(end)}"
                self._find(FindingKind.RUN_WRONG, SIGNATURES, detail)
            end = max(end, run_end)
            with txn.cursor(db=databases.timeline) as cursor:
                items = iter(cursor.iternext()) if cursor.set_range(first) else iter(())
                run = takewhile(lambda item: item[0] < run_end, items)
                for piece in chain(([],), pieces(run, lambda item: len(item[1]))):
                    inside = [record for key, record in piece if key not in self._reported]
                    if not holds(filter_, fmt.contents_of(inside)):
                        detail = f"the one of the run from {_hex(first)} on"
                        self._find(FindingKind.SIGNATURE_WRONG, SIGNATURES, detail)
                        return

        self._walk(SIGNATURES, check)


def _is_misplaced(txn: Txn, databases: Databases, seen: Evidence) -> bool:
    """Whether the key of a record is damaged, and not its index entries.

    Its timestamp or local id cannot be right; or `ids` has another local id, under which there is
    no record, and `commits` does not confirm the one in the key.
    """
    if fmt.time_of(seen.key) != seen.time or not fmt.is_local_id(seen.local_id):
        return True
    if seen.entry is None or not seen.id_vouches:
        return False
    elsewhere = fmt.key_in(seen.entry)
    if fmt.time_of(elsewhere) != seen.time or seen.commit_vouches:
        return False
    return txn.get(elsewhere, db=databases.timeline) is None


def _saved_event(key: bytes, record: bytes) -> Event:
    """Return the event of an entry of `timeline`; raises StoreDamaged or InvalidEvent."""
    event = fmt.decode_one(record)
    if checked(event) != event:
        raise StoreDamaged("it is not in the form in which events are saved")
    if not fmt.is_timeline_key(key):
        raise StoreDamaged("its key does not have 16 bytes")
    return event


def _event(record: bytes | None) -> Event | None:
    try:
        return None if record is None else fmt.decode_one(record)
    except StoreDamaged:
        return None


def _id(record: bytes) -> str | None:
    event = _event(record)
    return None if event is None else event.id


def _hex(data: bytes) -> str:
    return data.hex() or "nothing"
