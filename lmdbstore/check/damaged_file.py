"""The records of a damaged file: which of them are kept, and at which timeline keys.

Rules: the file is read page by page without LMDB, which it could mislead. `evidence` decides which
records are believed, and which events of a run are deleted. What is left out is noted as findings,
except deleted events. Only one page and one run are in memory at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from lmdbstore.contract.checking import checked
from lmdbstore.disk import format as fmt
from lmdbstore.disk.folder import DATA_FILE
from lmdbstore.disk.last_state import last_state
from lmdbstore.disk.raw_pages import NO_ROOT
from lmdbstore.errors import InvalidEvent, StoreDamaged, StoreOpenError, shown
from lmdbstore.records.ids import id_key, keys_in, local_ids_in
from lmdbstore.records.layout import record_checksum
from lmdbstore.records.named import NamedText, decode_named, name_of
from lmdbstore.records.record import checksum_in, decode_one, record_in
from lmdbstore.records.run import Run, positions
from lmdbstore.records.salvage import salvaged

from .evidence import Evidence, counted_in, deleted_in, own_entry
from .findings import Finding, FindingKind
from .walk import LocalIds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.raw_pages import Tree
    from lmdbstore.records.salvage import Left

__all__ = ["DamagedFile", "Kept"]

LIVE, RUNS = fmt.LIVE.decode(), fmt.RUNS.decode()


class Kept(NamedTuple):
    """A record to keep, and its true key; without a local id if that is unknown."""

    key: bytes
    event: Event
    record: bytes


class _Sealed(NamedTuple):
    """A record of a run."""

    left: Left
    event: Event | None  # None: it cannot be read
    key: bytes | None  # by its row
    leads: bool  # whether its id leads to it


class DamagedFile:
    """The records of a damaged file, and the findings about those left out."""

    def __init__(self, file: BinaryIO, name: str, *, keep_changed: bool) -> None:
        """Read `file`; `name` is its name in messages."""
        self.left_out: list[Finding] = []
        self.has_compressed = False  # whether a run was read that is compressed
        self._keep_changed = keep_changed
        try:
            self._pages, trees = last_state(file, self._unreadable, (fmt.LIVE, fmt.RUNS))
        except ValueError as error:
            raise StoreOpenError(f"{shown(name)} cannot be repaired: {error}") from error
        if fmt.LIVE not in trees and fmt.RUNS not in trees:
            raise StoreOpenError(f"{shown(name)} cannot be repaired: it has no readable events")
        self._trees = trees
        meta = trees.get(fmt.META)
        version = fmt.decode_checked(self._pages.lookup(meta, fmt.FORMAT) or b"")
        if version not in (None, fmt.VERSION):  # if it is lost, it may be ours
            raise StoreOpenError(
                f"{shown(name)} has format version {version}, and this lmdbstore writes version "
                f"{fmt.VERSION}; use the lmdbstore that wrote it"
            )
        following = _number(self._pages.lookup(meta, fmt.NEXT)) or 0
        # Without it, local ids may be given out again that were those of events deleted since.
        self.has_next = 0 < following < fmt.LOCAL_IDS
        self.next_local_id = following if self.has_next else 1
        self.lineage = fmt.decode_lineage(self._pages.lookup(meta, fmt.IDENTITY) or b"")
        sealed = _number(self._pages.lookup(meta, fmt.SEALED)) or 0
        self.total = self._entries(fmt.LIVE) + (sealed if sealed < fmt.LOCAL_IDS else 0)
        ids = trees.get(fmt.IDS)
        self._seed = fmt.decode_checked(self._pages.lookup(meta, fmt.SEED) or b"")
        self._has_ids = ids is not None and next(self._pages.walk(ids.root), None) is not None
        # Without the seed no id can be looked up, but the index still has where the events are.
        self._led_anywhere = LocalIds()
        if ids is not None and self._seed is None:
            for _, group in self._pages.walk(ids.root):
                for local_id in local_ids_in(group):
                    self._led_anywhere.take(local_id)

    def _entries(self, name: bytes) -> int:
        tree = self._trees.get(name)
        return 0 if tree is None else tree.entries

    def _unreadable(self, what: str) -> None:
        self.left_out.append(Finding(FindingKind.PAGE, DATA_FILE, what))

    def _leave_out(
        self, kind: FindingKind, where: str, detail: str, event_id: str | None = None
    ) -> None:
        self.left_out.append(Finding(kind, where, detail, event_id))

    def leave_out_twice(self, kept: Kept) -> None:
        """Note a record whose id another one has that was kept."""
        self._leave_out(FindingKind.ID_TWICE, LIVE, f"at {kept.key.hex()}", kept.event.id)

    def _lookup(self, name: bytes, key: bytes, *, big: bool = False) -> bytes | None:
        return self._pages.lookup(self._trees.get(name), key, big=big)

    def _led_to(self, event_id: str, key: bytes) -> list[bytes]:
        """Return the timeline keys to which the id key of an event leads, which may be at `key`."""
        if self._seed is None:
            return [key] if fmt.decode_number(fmt.local_id_of(key)) in self._led_anywhere else []
        wanted = id_key(event_id, self._seed)
        found = self._pages.ceiling(self._trees.get(fmt.IDS), wanted)
        return [] if found is None else keys_in(found[1], wanted)

    def _entry(self, event_id: str, key: bytes) -> bytes | None:
        """Return where the id of the event at `key` leads, if it does."""
        entries = self._led_to(event_id, key)
        return own_entry(entries, key, lambda entry: self._is_of_another(entry, event_id))

    def _walk(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        tree: Tree | None = self._trees.get(name)
        if tree is None:  # reported already
            return
        found = 0
        for entry in self._pages.walk(tree.root):
            found += 1
            yield entry
        if found != tree.entries:  # also if a damaged root leads to an older tree
            detail = f"LMDB counts {tree.entries:,} entries, and {found:,} can be reached"
            self._leave_out(FindingKind.COUNT, name.decode(), detail)

    def kept(self) -> Iterator[Kept]:
        """Yield the records to keep, mostly in the order of the timeline."""
        for end, value in self._walk(fmt.RUNS):
            yield from self._sealed(end, value)
        self._note_missing()
        for key, value in self._walk(fmt.LIVE):
            kept = self._live(key, value)
            if kept is not None:
                yield kept

    def named(self, name: bytes, kind: FindingKind) -> Iterator[NamedText]:
        """Yield the named texts of a database that are what was written."""
        if name not in self._trees:
            self._leave_out(FindingKind.DATABASE, name.decode(), "it is missing")
        for key, value in self._walk(name):
            named = decode_named(value)
            if named is not None:
                yield named
            else:
                detail = f"that of {shown(name_of(key, value))} is not what was written"
                self._leave_out(kind, name.decode(), detail)

    # -- live records -----------------------------------------------------------------------------

    def _live(self, key: bytes, value: bytes) -> Kept | None:
        record = record_in(value)
        event = _event(record)
        if event is None or not fmt.is_timeline_key(key):
            self._leave_out(FindingKind.RECORD_UNREADABLE, LIVE, f"{key.hex()}: {shown(record)}")
            return None
        if record_checksum(record) != checksum_in(value) and not self._keep_changed:
            detail = f"{key.hex()}: it does not agree with its checksum"
            self._leave_out(FindingKind.RECORD_CHANGED, LIVE, detail, event.id)
            return None
        entry = self._entry(event.id, key)
        source = fmt.source_key(event.source)
        posted = self._pages.has_pair(self._trees.get(fmt.POSTINGS), source, key)
        seen = Evidence(key, event, entry, posted)
        if not seen.is_known and not self._keep_changed:
            detail = f"{key.hex()}: no index has it, so its event may have been deleted"
            self._leave_out(FindingKind.RECORD_UNCHECKED, LIVE, detail, event.id)
            return None
        if entry is None or entry in (key, seen.by_event):
            return Kept(seen.by_event, event, record)
        if self._is_at(entry, event.id):
            self._leave_out(FindingKind.ID_TWICE, LIVE, f"the one at {key.hex()}", event.id)
            return None
        return Kept(entry if seen.belongs_elsewhere else seen.by_event, event, record)

    def _is_at(self, key: bytes, event_id: str) -> bool:
        """Whether the event with an id is at a key, unchanged."""
        event = self._event_at(key)
        return event is not None and event.id == event_id

    def _is_of_another(self, key: bytes, event_id: str) -> bool:
        """Whether an event with another id and the same id key is at a key, unchanged."""
        event = self._event_at(key)
        if event is None or event.id == event_id or self._seed is None:
            return False
        return id_key(event.id, self._seed) == id_key(event_id, self._seed)

    def _event_at(self, key: bytes) -> Event | None:
        """Return the event at a key, if it is unchanged."""
        value = self._lookup(fmt.LIVE, key, big=True)
        if value is not None and record_checksum(record_in(value)) == checksum_in(value):
            return _event(record_in(value))
        found = self._pages.ceiling(self._trees.get(fmt.RUNS), key)
        for left in () if found is None else salvaged(found[1]):
            event = _event(left.record) if left.vouched else None
            if event is not None and _key_of(event, left) == key:
                return event
        return None

    # -- runs -------------------------------------------------------------------------------------

    def _records(self, end: bytes, value: bytes) -> list[_Sealed]:
        """Return what is left of the records of a run."""
        sound = _front_is_sound(end, value)
        self.has_compressed |= sound and Run(end, value).is_compressed
        keys = Run(end, value).keys() if sound else None
        return [
            self._record(left, end, None if keys is None else keys[slot])
            for slot, left in enumerate(salvaged(value))
        ]

    def _record(self, left: Left, end: bytes, key: bytes | None) -> _Sealed:
        """Look a record up; `key` is its key if that is certain."""
        event = _event(left.record)
        if event is None:
            return _Sealed(left, None, key, leads=False)
        if key is not None:
            return _Sealed(left, event, key, leads=key in self._led_to(event.id, key))
        time, key = fmt.encode_time(event.timestamp), _key_of(event, left)
        entry = self._entry(event.id, key)
        # The row is damaged, and `ids` has the true local id.
        leads = entry == key or (
            entry is not None
            and fmt.is_timeline_key(entry)
            and fmt.time_of(entry) == time
            and entry <= end
            and self._lookup(fmt.LIVE, entry, big=True) is None
        )
        return _Sealed(left, event, entry if leads else key, leads)

    def _sealed(self, end: bytes, value: bytes) -> Iterator[Kept]:
        records = self._records(end, value)
        if not records:
            detail = f"the one that ends at {end.hex()} cannot be read"
            self._leave_out(FindingKind.RUN_DAMAGED, RUNS, detail)
            return
        bits = self._lookup(fmt.DEAD, end)
        noted = set(positions(bits or b""))
        # Of an event that cannot be read, the id is unknown.
        leads = [
            record.leads if record.left.vouched else slot not in noted
            for slot, record in enumerate(records)
        ]
        deleted = deleted_in(
            bits, len(records), self._counted(end, records), leads if self._has_ids else None
        )
        for slot, record in enumerate(records):
            if slot not in deleted.slots:
                kept = self._kept_of(record, end)
                if kept is not None:
                    yield kept

    def _note_missing(self) -> None:
        """Note the runs that `summaries` has and that are not there."""
        summaries, runs = self._trees.get(fmt.SUMMARIES), self._trees.get(fmt.RUNS)
        for end, _ in self._pages.walk(NO_ROOT if summaries is None else summaries.root):
            if not self._pages.has(runs, end):
                detail = f"none ends at {end.hex()}"
                self._leave_out(FindingKind.RUN_MISSING, RUNS, detail)

    def _counted(self, end: bytes, records: list[_Sealed]) -> int | None:
        """Return how many events of a run are not deleted, as `summaries` counts them."""
        try:
            value = self._lookup(fmt.SUMMARIES, end, big=True)
            summary = None if value is None else fmt.decode_summary(value)
            return counted_in(summary, max(record.left.local_id for record in records))
        except StoreDamaged:
            return None

    def _kept_of(self, record: _Sealed, end: bytes) -> Kept | None:
        left, event, key, leads = record
        if event is None or key is None:
            detail = f"in the run that ends at {end.hex()}: {shown(left.record)}"
            self._leave_out(FindingKind.RECORD_UNREADABLE, RUNS, detail)
            return None
        if not left.vouched and not self._keep_changed:
            detail = f"{key.hex()}: it does not agree with its checksum"
            self._leave_out(FindingKind.RECORD_CHANGED, RUNS, detail, event.id)
            return None
        key = fmt.join_key(fmt.encode_time(event.timestamp), fmt.local_id_of(key))
        entry = None if leads else self._entry(event.id, key)
        if entry is not None and entry != key and self._is_at(entry, event.id):
            self._leave_out(FindingKind.ID_TWICE, RUNS, f"the one at {key.hex()}", event.id)
            return None
        return Kept(key, event, left.record)


def _front_is_sound(end: bytes, value: bytes) -> bool:
    try:
        Run(end, value).check_front()
    except StoreDamaged:
        return False
    return True


def _key_of(event: Event, left: Left) -> bytes:
    """Return the timeline key of an event of a run, by its row."""
    possible = 0 < left.local_id < fmt.LOCAL_IDS
    local_id = fmt.encode_number(left.local_id) if possible else fmt.NO_LOCAL_ID
    return fmt.join_key(fmt.encode_time(event.timestamp), local_id)


def _event(record: bytes) -> Event | None:
    """Return the event of a record; None if it cannot be read, or cannot have been saved."""
    try:
        event = decode_one(record)
        return event if checked(event) == event else None
    except (StoreDamaged, InvalidEvent):
        return None


def _number(data: bytes | None) -> int | None:
    """Decode a number; None if there is none, or it is damaged."""
    try:
        return None if data is None else fmt.decode_number(data)
    except StoreDamaged:
        return None
