"""Comparing every record with every index, and back, and checking all orders and counts.

Rules: one state of the store is read, in pieces, each in one transaction. Memory does not grow with
the store, only with the number of findings (and by one bit for each local id). No finding stops the
comparison.

Each record is looked up in the indexes, and each entry that belongs to it is counted. Then each
index is walked and its entries are counted. Different records have different entries, so if both
counts are equal every entry belongs to a record. Only if they differ, each entry is looked up (see
`strays`). Totals are compared all at once: by the sum of a number for each term times its total.
The contents of a damaged record or run are not trusted, and its index entries are not reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.contract.checking import checked
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import NAMES, doubt_of, number_of_events
from lmdbstore.disk.folder import DATA_FILE
from lmdbstore.errors import InvalidEvent, StoreDamaged, shown
from lmdbstore.records.ids import id_entry, id_key, keys_in
from lmdbstore.records.layout import record_checksum
from lmdbstore.records.named import decode_named, name_of
from lmdbstore.records.record import TermKeys, checksum_in, decode_one, record_in

from .evidence import Evidence, counted_in, deleted_in, own_entry
from .findings import FindingKind
from .run_check import Wrong, examine, signature_holds
from .strays import Strays, event_in, weight_of
from .walk import LocalIds, Walker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases, Reads

    from .evidence import Deleted
    from .findings import Finding
    from .run_check import Examined
    from .walk import Progress

    Txn = Transaction[bytes]

__all__ = ["Comparison"]

LIVE, RUNS, IDS, POSTINGS, RUN_POSTINGS, TOTALS, SUMMARIES, DEAD, COMMITS, META = (
    name.decode()
    for name in (
        *(fmt.LIVE, fmt.RUNS, fmt.IDS, fmt.POSTINGS, fmt.RUN_POSTINGS),
        *(fmt.TOTALS, fmt.SUMMARIES, fmt.DEAD, fmt.COMMITS, fmt.META),
    )
)
CHECKPOINTS, CURSORS = fmt.CHECKPOINTS.decode(), fmt.CURSORS.decode()


class Comparison:
    """One pass through a store; `run` it once."""

    def __init__(self, reads: Reads, progress: Progress | None) -> None:
        """Read with `reads`; report events to `progress`."""
        self._walker = Walker(reads)
        self._find = self._walker.find
        self._progress = progress
        self._strays = Strays(self._walker)
        self._local_ids = LocalIds()
        self._highest = 0  # local id of a record
        self._total = self._done = 0  # events
        self._sealed = 0  # events of runs that are not deleted
        self._weight = 0  # of the totals that the runs should have
        self._belonging = dict.fromkeys((SUMMARIES, DEAD, IDS, POSTINGS, RUN_POSTINGS, COMMITS), 0)
        self._last_end = fmt.FIRST_KEY

    def run(self) -> list[Finding]:
        """Return everything that is wrong."""
        walker = self._walker
        walker.guarded(META, self._check_meta)
        walker.walk(META)
        walker.walk(LIVE, self._check_live, tell=self._tell)
        walker.walk(RUNS, self._check_run, tell=self._tell)
        for name, belonging in self._belonging.items():
            found = self._strays.count_ids() if name == IDS else walker.walk(name)
            if found != belonging:
                self._strays.look(name)
        walker.walk(CHECKPOINTS, self._check_checkpoint)
        walker.walk(CURSORS, self._check_cursor)
        walker.guarded(META, self._check_numbers)
        self._check_totals()
        return walker.findings

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, max(self._total, self._done))

    # -- meta -------------------------------------------------------------------------------------

    def _check_meta(self, txn: Txn, databases: Databases) -> None:
        version = txn.get(fmt.FORMAT, db=databases.meta)
        if version != fmt.encode_checked(fmt.VERSION):
            was = "there is none" if version is None else f"it is {_hex(version)}"
            self._find(FindingKind.FORMAT, META, f"{was}; it should be {fmt.VERSION}")
        identity = txn.get(fmt.IDENTITY, db=databases.meta)
        if fmt.decode_identity(identity or b"") is None:
            was = "there is none" if identity is None else f"it is {_hex(identity)}"
            self._find(FindingKind.IDENTITY, META, was)
        seed = txn.get(fmt.SEED, db=databases.meta)
        if seed != fmt.encode_checked(databases.seed):
            was = "there is none" if seed is None else f"it is {_hex(seed)}"
            self._find(FindingKind.SEED, META, was)
        if doubt := doubt_of(txn):
            self._find(FindingKind.TRANSACTION, DATA_FILE, doubt)
        with txn.cursor() as cursor:
            names = set(cursor.iternext(keys=True, values=False)) - {fmt.TRANSACTION}
            for name in names - NAMES:
                self._find(FindingKind.DATABASE, shown(name), "it does not belong to a store")
        try:
            self._total = number_of_events(txn, databases)
        except StoreDamaged:  # reported later
            self._total = txn.stat(databases.live)["entries"]

    def _check_numbers(self, txn: Txn, databases: Databases) -> None:
        following, highest = txn.get(fmt.NEXT, db=databases.meta), fmt.encode_number(self._highest)
        if following is None:
            self._find(FindingKind.NEXT_LOCAL_ID, META, "there is none")
        elif following <= highest or not fmt.is_local_id(following):
            detail = f"it is {_hex(following)}, and {_hex(highest)} is used already"
            self._find(FindingKind.NEXT_LOCAL_ID, META, detail)
        sealed = txn.get(fmt.SEALED, db=databases.meta)
        expected = fmt.encode_number(self._sealed)
        if sealed is None:
            self._find(FindingKind.SEALED_WRONG, META, "there is none")
        elif sealed != expected and not self._strays.damaged:
            detail = f"it is {_hex(sealed)} instead of {_hex(expected)}"
            self._find(FindingKind.SEALED_WRONG, META, detail)

    def _check_totals(self) -> None:
        """Compare the totals with the runs: all at once, and one by one if that fails."""
        weight: float = 0

        def check(_: Txn, __: Databases, term: bytes, value: bytes) -> None:
            nonlocal weight
            try:
                weight += weight_of(term) * fmt.decode_number(value)
            except StoreDamaged:
                weight = float("nan")

        self._walker.walk(TOTALS, check)
        if weight != self._weight and not self._strays.damaged:
            self._strays.look_at_totals()

    # -- named texts ------------------------------------------------------------------------------

    def _check_checkpoint(self, _: Txn, __: Databases, key: bytes, value: bytes) -> None:
        self._check_named(FindingKind.CHECKPOINT_DAMAGED, CHECKPOINTS, key, value)

    def _check_cursor(self, _: Txn, __: Databases, key: bytes, value: bytes) -> None:
        self._check_named(FindingKind.CURSOR_DAMAGED, CURSORS, key, value)

    def _check_named(self, kind: FindingKind, where: str, key: bytes, value: bytes) -> None:
        named = decode_named(value)
        if named is None:
            self._find(kind, where, f"that of {shown(name_of(key, value))} is not what was written")
        elif named.key != key:
            self._find(kind, where, f"that of {shown(named.name)} is at {_hex(key)}")

    # -- live records -----------------------------------------------------------------------------

    def _check_live(self, txn: Txn, databases: Databases, key: bytes, value: bytes) -> None:
        self._done += 1
        record = record_in(value)
        try:
            event = _saved_event(key, record)
        except (StoreDamaged, InvalidEvent) as error:
            self._report_record(FindingKind.RECORD_UNREADABLE, key, str(error))
            return
        entries = _led_to(txn, databases, event.id)
        entry = _own(txn, databases, event.id, key, entries)
        with txn.cursor(db=databases.postings) as cursor:
            posted = cursor.set_key_dup(fmt.source_key(event.source), key)
        seen = Evidence(key, event, entry, posted)
        if record_checksum(record) != checksum_in(value):
            what = "it does not agree with its checksum"
            self._report_record(FindingKind.RECORD_CHANGED, key, what, event.id)
        elif seen.is_impossible or (
            seen.belongs_elsewhere and event_in(txn, databases, entry or b"") is None
        ):
            self._strays.keys.update((key, seen.by_event, entry or key))
            self._find(FindingKind.RECORD_MISPLACED, LIVE, f"it is at {_hex(key)}", event.id)
        elif not seen.is_known:
            what = "neither its id nor its source leads to it"
            self._report_record(FindingKind.RECORD_UNCHECKED, key, what, event.id)
        else:
            self._note_highest(key)
            self._look_up_id(txn, databases, LIVE, key, event.id, entries)
            pairs = [(term, key) for term in TermKeys().of(event.source, event.tags)]
            self._look_up_pairs(txn, databases, POSTINGS, pairs, event.id)

    def _report_record(
        self, kind: FindingKind, key: bytes, what: str, event_id: str | None = None
    ) -> None:
        self._note_highest(key)
        self._strays.keys.add(key)
        self._find(kind, LIVE, f"{_hex(key)}: {what}", event_id)

    def _note_highest(self, key: bytes) -> None:
        if fmt.is_timeline_key(key):
            self._highest = max(self._highest, fmt.decode_number(fmt.local_id_of(key)))

    # -- index entries ----------------------------------------------------------------------------

    def _look_up_id(  # noqa: PLR0913, PLR0917  an event and its entry
        self,
        txn: Txn,
        databases: Databases,
        where: str,
        key: bytes,
        event_id: str,
        entries: list[bytes],
    ) -> None:
        entry = _own(txn, databases, event_id, key, entries)
        new = self._local_ids.take(fmt.decode_number(fmt.local_id_of(key)))
        if not new and where == RUNS and txn.get(key, db=databases.live) is not None:
            self._find(FindingKind.ID_TWICE, where, f"also live, at {_hex(key)}", event_id)
        elif not new:
            self._belonging[IDS] += entry == key
            detail = f"another event has the local id of {_hex(key)}"
            self._find(FindingKind.LOCAL_ID_TWICE, where, detail, event_id)
        elif entry == key:
            self._belonging[IDS] += 1
            for other in entries if len(entries) > 1 else ():
                if other < key and _has(event_in(txn, databases, other), event_id):
                    detail = f"at {_hex(key)} and at {_hex(other)}"
                    self._find(FindingKind.ID_TWICE, where, detail, event_id)
        elif entry is None:
            self._strays.ids.add(id_key(event_id, databases.seed))
            self._find(FindingKind.ID_MISSING, IDS, "it is not there", event_id)
        elif _has(event_in(txn, databases, entry), event_id):
            detail = f"at {_hex(key)} and at {_hex(entry)}"
            self._find(FindingKind.ID_TWICE, where, detail, event_id)
        else:
            self._strays.ids.add(id_entry(id_key(event_id, databases.seed), entry))
            detail = f"it leads to {_hex(entry)} instead of {_hex(key)}"
            self._find(FindingKind.ID_WRONG, IDS, detail, event_id)

    def _look_up_pairs(
        self,
        txn: Txn,
        databases: Databases,
        name: str,
        pairs: Iterable[tuple[bytes, bytes]],
        event_id: str | None = None,
    ) -> None:
        with txn.cursor(db=getattr(databases, name)) as cursor:
            for term, key in pairs:
                if cursor.set_key_dup(term, key):
                    self._belonging[name] += 1
                else:
                    detail = f"{_hex(key)} in the set of {shown(term)}"
                    self._find(FindingKind.POSTING_MISSING, name, detail, event_id)

    # -- runs -------------------------------------------------------------------------------------

    def _check_run(self, txn: Txn, databases: Databases, end: bytes, value: bytes) -> None:
        before, self._last_end = self._last_end, max(end, self._last_end)
        seen = examine(before, end, value)
        summary = _summary(txn.get(end, db=databases.summaries))
        if isinstance(seen, Wrong):
            self._find(seen.kind, RUNS, seen.detail, seen.event_id)
            self._strays.damaged.append((before, end))
            self._done += 0 if summary is None else summary.events
            return
        entries = [_led_to(txn, databases, event_id) for event_id in seen.ids]
        leads = [key in found for found, key in zip(entries, seen.events.keys, strict=True)]
        bits = txn.get(end, db=databases.dead)
        counted = counted_in(summary, max(seen.events.local_ids))
        has_ids = txn.stat(databases.ids)["entries"] > 0
        deleted = deleted_in(bits, len(leads), counted, leads if has_ids else None)
        self._check_notes(end, seen, deleted, summary, bits)
        self._check_commit(txn, databases, end, seen)
        for slot, event_id in enumerate(seen.ids):
            key = seen.events.keys[slot]
            if slot not in deleted.slots:
                self._look_up_id(txn, databases, RUNS, key, event_id, entries[slot])
            elif not self._local_ids.take(seen.events.local_ids[slot]):
                detail = f"another event has the local id of {_hex(key)}, which is deleted"
                self._find(FindingKind.LOCAL_ID_TWICE, RUNS, detail, event_id)
        pairs = [(term, fmt.run_posting(end, slots)) for term, slots in seen.directory.items()]
        self._look_up_pairs(txn, databases, RUN_POSTINGS, pairs)
        self._count_run(seen, deleted)

    def _count_run(self, seen: Examined, deleted: Deleted) -> None:
        events = len(seen.ids) - len(deleted.slots)
        self._done += events
        self._sealed += events
        for term, slots in seen.directory.items():
            gone = len(deleted.slots.intersection(slots)) if deleted.slots else 0
            self._weight += weight_of(term) * (len(slots) - gone)

    def _check_notes(
        self,
        end: bytes,
        seen: Examined,
        deleted: Deleted,
        summary: fmt.Summary | None,
        bits: bytes | None,
    ) -> None:
        """Compare `dead` and `summaries` with a run."""
        self._belonging[DEAD] += bits is not None
        self._belonging[SUMMARIES] += summary is not None
        left = len(seen.ids) - len(deleted.slots)
        highest = max(seen.events.local_ids)
        self._highest = max(self._highest, highest)
        where = f"of the run that ends at {_hex(end)}"
        if not deleted.noted:
            self._find(FindingKind.DEAD_WRONG, DEAD, f"those {where}: {left:,} are not deleted")
        if summary is None:
            self._find(FindingKind.SUMMARY_WRONG, SUMMARIES, f"there is none {where}")
            return
        if (summary.events, summary.highest) != (left, highest):
            was = f"{summary.events:,} events and local ids up to {summary.highest:,}"
            detail = f"it has {was}, not {left:,} and {highest:,}, {where}"
            self._find(FindingKind.SUMMARY_WRONG, SUMMARIES, detail)
        if not signature_holds(bytes(summary.signature), seen.events.contents, deleted.slots):
            self._find(FindingKind.SIGNATURE_WRONG, SUMMARIES, f"the one {where}")

    def _check_commit(self, txn: Txn, databases: Databases, end: bytes, seen: Examined) -> None:
        local_ids = seen.events.local_ids
        found = txn.get(fmt.encode_number(max(local_ids)), db=databases.commits)
        if found == fmt.commit_entry(min(local_ids), end):
            self._belonging[COMMITS] += 1
        else:
            self._strays.ends.add(end)
            detail = f"the run that ends at {_hex(end)} has {_hex(found or b'')}"
            self._find(FindingKind.COMMIT_WRONG, COMMITS, detail)


def _saved_event(key: bytes, record: bytes) -> Event:
    """Return the event of an entry of `live`; raises StoreDamaged or InvalidEvent."""
    event = decode_one(record)
    if checked(event) != event:
        raise StoreDamaged("it is not in the form in which events are saved")
    if not fmt.is_timeline_key(key):
        raise StoreDamaged("its key does not have 16 bytes")
    return event


def _summary(value: bytes | None) -> fmt.Summary | None:
    try:
        return None if value is None else fmt.decode_summary(value)
    except StoreDamaged:
        return None


def _led_to(txn: Txn, databases: Databases, event_id: str) -> list[bytes]:
    """Return the timeline keys to which the id key of an event leads."""
    wanted = id_key(event_id, databases.seed)
    with txn.cursor(db=databases.ids) as cursor:
        return keys_in(cursor.value(), wanted) if cursor.set_range(wanted) else []


def _own(
    txn: Txn, databases: Databases, event_id: str, key: bytes, entries: list[bytes]
) -> bytes | None:
    """Return where the id of the event at `key` leads, of the keys to which its id key leads."""

    def is_of_another(entry: bytes) -> bool:
        event = event_in(txn, databases, entry)
        if event is None or event.id == event_id:
            return False
        seed = databases.seed
        return id_key(event.id, seed) == id_key(event_id, seed)

    return own_entry(entries, key, is_of_another)


def _has(event: Event | None, event_id: str) -> bool:
    return event is not None and event.id == event_id


def _hex(data: bytes) -> str:
    return data.hex() or "nothing"
