"""Repairing a damaged store: all indexes are rebuilt from the records, in a new file.

Rules: the damaged file is read page by page without LMDB, which it could mislead, and is not
written to. `Evidence` decides whether a record is believed. A local id belongs to one record;
another record that claims it gets a new one. The new file is a store like any other, made in a
folder inside the store's folder; it takes the old file's name only after it is flushed and
verified. Records that could not be kept are reported, and then the old file is kept under another
name. Memory does not grow with the store.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from lmdbstore.contract.checking import checked
from lmdbstore.disk import format as fmt
from lmdbstore.disk.files import (
    NotFlushedError,
    adopt_rights,
    check_space,
    exchange,
    remove_temporary,
    temporary_folder,
)
from lmdbstore.disk.folder import DATA_FILE, StoreFolder
from lmdbstore.disk.last_state import last_state
from lmdbstore.engine.session import Session
from lmdbstore.errors import (
    EventStoreException,
    EventWriteException,
    InvalidEvent,
    StoreDamaged,
    StoreMoved,
    StoreOpenError,
    shown,
)
from lmdbstore.opening.options import Options, checked_progress, folder_of, one_of
from lmdbstore.opening.place import check_folder
from lmdbstore.processes.presence import alone_in
from lmdbstore.write.change import Change
from lmdbstore.write.save import Batch
from lmdbstore.write.sign import sign_all

from .evidence import Evidence
from .findings import Finding, FindingKind
from .verify import verify_session
from .walk import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.contract.event import Event
    from lmdbstore.disk.files import Directory
    from lmdbstore.processes.presence import Presence
    from lmdbstore.write.transaction import WriteTransaction

    from .walk import Progress

__all__ = ["Repaired", "repair"]

NEW = "new"  # the name of the new store in its temporary folder
TIMELINE = fmt.TIMELINE.decode()


class Repaired(NamedTuple):
    """The result of `repair`."""

    events: int  # in the repaired store
    left_out: list[Finding]  # records and pages that could not be kept or read
    old_file: str | None  # the path of the damaged file, if anything was left out
    new_identity: bool = False  # the identity of the store was lost, and it has a new one


class _Kept(NamedTuple):
    """A record to keep, and its true key."""

    key: bytes
    event: Event
    record: bytes

    def row(self, flag_keys: fmt.TextKeys) -> fmt.Row:
        """Return its row, with the record unchanged."""
        row = fmt.encode(self.event, flag_keys)
        return row._replace(record=self.record, checksum=fmt.checksum(self.record))


class _Identify(Change):
    """Give the store the identity that it had."""

    alone = True

    def __init__(self, identity: bytes) -> None:
        """Take the 16 bytes."""
        self._identity = identity

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        txn.set(txn.databases.meta, fmt.IDENTITY, fmt.encode_identity(self._identity))
        return None


class _Restore(Change):
    """Put records at their timeline keys."""

    alone = True

    def __init__(self, kept: list[_Kept], next_local_id: int) -> None:
        """New events will get local ids from `next_local_id` on, or after those of the records."""
        self._kept = kept
        self.next_local_id = next_local_id
        self.twice: list[_Kept] = []  # records whose id is taken
        self.unplaced: list[_Kept] = []  # records without a local id, or with a taken one

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        rows, keys = self._placed(txn)
        if rows:
            Batch(fmt.Rows.of(rows)).write(txn, keys, append=False)
            highest = max(fmt.decode_number(fmt.local_id_of(key)) for key in keys)
            self.next_local_id = max(self.next_local_id, highest + 1)
        txn.next_local_id = max(txn.next_local_id, self.next_local_id)
        txn.changed = True
        return None

    def _placed(self, txn: WriteTransaction) -> tuple[list[fmt.Row], list[bytes]]:
        """Return what is written, and at which keys: of two that claim the same, the first."""
        flag_keys = fmt.TextKeys()
        rows: list[fmt.Row] = []
        keys: list[bytes] = []
        ids: set[bytes] = set()
        local_ids = {fmt.NO_LOCAL_ID}
        for kept in self._kept:
            row, local_id = kept.row(flag_keys), fmt.local_id_of(kept.key)
            known = local_id in local_ids or not fmt.is_local_id(local_id)
            if known or txn.get(txn.databases.commits, local_id) is not None:
                self.unplaced.append(kept)
            elif row.id_key in ids or txn.get(txn.databases.ids, row.id_key) is not None:
                self.twice.append(kept)
            else:
                ids.add(row.id_key)
                local_ids.add(local_id)
                rows.append(row)
                keys.append(kept.key)
        return rows, keys


def repair(
    path: str | os.PathLike[str], *, keep_changed: bool = False, progress: Progress | None = None
) -> Repaired:
    """Rebuild all indexes of a store from its records.

    No process may have the store open, and none can open it until this ends. The new file replaces
    the old one only after it is flushed and `verify` finds nothing in it; until then, and if this
    fails or is interrupted, the old file is untouched. Events keep their order and their local ids;
    only if two claim the same one, one of them gets a new one. It needs as much free disk space as
    the old file takes.

    A record is left out if it cannot be read, or agrees with neither of its checksums (a flipped
    bit), or both of these are lost. Then the old file is kept in the folder, as `damaged-<time in
    UTC>.mdb`. To see the records left out, copy it to a folder of its own as `data.mdb`, and repair
    it there with `keep_changed`.

    Args:
        path: The store's folder.
        keep_changed: Keep readable records that may have changed since they were written. Check
            them yourself: afterwards they count as unchanged.
        progress: Called from time to time with the number of events done and their total.

    Raises:
        InvalidOption: an argument has an invalid value.
        StoreInUse: a process has the store open, possibly this one.
        StoreOpenError: there is no store, or it cannot be repaired; the message says why.
        StoreMoved: the folder was moved in the meantime; the message says what was done.
        EventWriteException: the new file could not be written, for example on a full disk.
    """
    folder = StoreFolder(folder_of(path))
    keep_changed = one_of("keep_changed", keep_changed, (True, False))
    progress = checked_progress(progress)
    folder.check_plain()
    if not folder.has_store:
        raise StoreOpenError(f"there is no store at {shown(folder.path)}")
    with alone_in(folder) as presence:
        try:
            return _repaired(presence, progress, keep_changed=keep_changed)
        except NotFlushedError as error:
            raise EventWriteException(
                f"the store {shown(folder.path)} was repaired, but its folder could not be flushed "
                f"({error}), and a power cut may bring the old file back; check the disk"
            ) from error
        except OSError as error:
            raise EventWriteException(
                f"the store {shown(folder.path)} could not be repaired, and is as it was: {error}"
            ) from error


def _repaired(presence: Presence, progress: Progress | None, *, keep_changed: bool) -> Repaired:
    """Repair the store in an open folder, wherever its path leads by now."""
    folder, directory = presence.folder, presence.directory
    identity = directory.identity
    check_folder(folder.path, identity)
    remove_temporary(directory)
    check_space(directory, os.stat(folder.data).st_size)
    with temporary_folder(directory) as made:
        with open(folder.data, "rb") as file:
            source = _Source(file, folder.named(folder.data), keep_changed=keep_changed)
            try:
                events = _rebuild(source, StoreFolder(f"{made.way}/{NEW}"), progress)
            except StoreMoved as error:  # of the new store
                check_folder(folder.path, identity, "nothing was repaired")
                raise EventWriteException(
                    "nothing was repaired: the temporary folder of the new file was removed"
                ) from error
        check_folder(folder.path, identity, "nothing was repaired")
        kept_as = _replace(presence, made, keep=bool(source.left_out))
    check_folder(folder.path, identity, "the store that moved was repaired, and no other one")
    return Repaired(events, source.left_out, kept_as, new_identity=source.identity is None)


class _Source:
    """The records of a damaged file, and the findings about those left out."""

    def __init__(self, file: BinaryIO, name: str, *, keep_changed: bool) -> None:
        self.left_out: list[Finding] = []
        self._keep_changed = keep_changed
        try:
            self._pages, trees = last_state(file, self._unreadable, fmt.TIMELINE)
        except ValueError as error:
            raise StoreOpenError(f"{shown(name)} cannot be repaired: {error}") from error
        if fmt.TIMELINE not in trees:
            raise StoreOpenError(f"{shown(name)} cannot be repaired: it has no readable timeline")
        self._timeline, self._ids, self._commits, meta, signatures = map(
            trees.get, (fmt.TIMELINE, fmt.IDS, fmt.COMMITS, fmt.META, fmt.SIGNATURES)
        )
        version = fmt.decode_checked(self._pages.lookup(meta, fmt.FORMAT) or b"")
        if version not in (None, fmt.VERSION):  # if it is lost, it may be ours
            raise StoreOpenError(
                f"{shown(name)} has format version {version}, and this lmdbstore writes version "
                f"{fmt.VERSION}; use the lmdbstore that wrote it"
            )
        following = _number(self._pages.lookup(meta, fmt.NEXT)) or 1
        self.next_local_id = following if following < fmt.LOCAL_IDS else 1
        self.identity = fmt.decode_identity(self._pages.lookup(meta, fmt.IDENTITY) or b"")
        self.signed = signatures is not None and signatures.entries > 0
        self.total = self._timeline.entries if self._timeline else 0

    def _unreadable(self, what: str) -> None:
        self.left_out.append(Finding(FindingKind.PAGE, DATA_FILE, what))

    def leave_out(self, kind: FindingKind, detail: str, event_id: str | None = None) -> None:
        self.left_out.append(Finding(kind, TIMELINE, detail, event_id))

    def kept(self) -> Iterator[_Kept]:
        """Yield the records to keep, mostly in the order of the timeline."""
        assert self._timeline is not None  # noqa: S101  see __init__
        found = 0
        for key, record in self._pages.walk(self._timeline.root):
            found += 1
            try:
                event = fmt.decode_one(record)
                if checked(event) != event or not fmt.is_timeline_key(key):
                    raise StoreDamaged("it is not in the form in which events are saved")  # noqa: TRY301
            except (StoreDamaged, InvalidEvent) as error:
                self.leave_out(FindingKind.RECORD_UNREADABLE, f"{key.hex()}: {error}")
                continue
            true_key = self._true_key(key, event, record)
            if true_key is not None:
                yield _Kept(true_key, event, record)
        if found != self.total:  # also if a damaged root leads to an older timeline
            detail = f"LMDB counts {self.total:,} records, and {found:,} can be reached"
            self.leave_out(FindingKind.COUNT, detail)

    def _true_key(self, key: bytes, event: Event, record: bytes) -> bytes | None:
        """Return the true key of a record, without a local id if unknown; None: left out."""
        entry = self._pages.lookup(self._ids, fmt.text_key(event.id))
        commit = self._pages.lookup(self._commits, fmt.local_id_of(key))
        evidence = Evidence(key, event, fmt.checksum(record), entry, commit)
        if not evidence.is_vouched_for and not self._keep_changed:
            kind, detail = FindingKind.RECORD_CHANGED, "it does not agree with its checksum"
            if not any(evidence.checksums.values()):
                kind, detail = FindingKind.RECORD_UNCHECKED, "both of its checksums are lost"
            self.leave_out(kind, detail, event.id)
            return None
        when = evidence.time
        known = fmt.NO_LOCAL_ID if evidence.commit_is_of_another else evidence.local_id
        by_key = fmt.join_key(when, known)
        if entry is None or not evidence.id_vouches:
            return by_key
        elsewhere = fmt.key_in(entry)
        if elsewhere == key:
            return fmt.join_key(when, evidence.local_id)
        if self._is_elsewhere(entry):
            self.leave_out(FindingKind.ID_TWICE, f"the one at {key.hex()}", event.id)
            return None
        if evidence.commit_vouches or fmt.time_of(elsewhere) != when:
            return by_key
        return elsewhere  # the local id in the key is the damaged one

    def _is_elsewhere(self, entry: bytes) -> bool:
        """Whether the same record is at the key in an entry of `ids`."""
        record = self._pages.lookup(self._timeline, fmt.key_in(entry), big=True)
        return record is not None and fmt.checksum(record) == fmt.checksum_in_id(entry)


def _number(data: bytes | None) -> int | None:
    """Decode a number; None if there is none, or it is damaged."""
    try:
        return None if data is None else fmt.decode_number(data)
    except StoreDamaged:
        return None


def _rebuild(source: _Source, made: StoreFolder, progress: Progress | None) -> int:
    """Write the records to keep into a new store; return how many events it has."""
    try:
        # Flushed once, at the end: no process sees it before.
        session = Session(made.path, Options(durability="none"), create=True)
    except StoreOpenError as error:
        raise EventWriteException(f"nothing was repaired: {error}") from error
    with session:
        if source.identity is not None:
            session.write(_Identify(source.identity))
        _restore_all(source, session, progress)
        if source.signed:
            sign_all(session.write, rebuild=False)
        session.current().flush()
        if findings := verify_session(session, pages=True):
            raise EventWriteException(
                f"the repaired file does not verify, and the store is as it was: {findings[0]}"
            )
        return session.read(lambda txn, databases: txn.stat(databases.timeline)["entries"])


def _restore_all(source: _Source, session: Session, progress: Progress | None) -> None:
    following = source.next_local_id
    unplaced: list[_Kept] = []  # few: this damage is rare

    def restore(piece: list[_Kept]) -> None:
        nonlocal following
        change = _Restore(piece, following)
        session.write(change)
        following = change.next_local_id
        unplaced.extend(change.unplaced)
        for twice in change.twice:
            source.leave_out(FindingKind.ID_TWICE, f"at {twice.key.hex()}", twice.event.id)

    read = 0
    for piece in pieces(source.kept(), lambda kept: len(kept.record)):
        restore(piece)
        read += len(piece)
        if progress is not None:
            progress(read, max(source.total, read))
    restore(  # even an empty list: it writes the next local id if no event is left
        [
            kept._replace(key=fmt.join_key(fmt.time_of(kept.key), fmt.encode_number(local_id)))
            for local_id, kept in enumerate(unplaced, following)
        ]
    )


def _replace(presence: Presence, made: Directory, *, keep: bool) -> str | None:
    """Put the new file in place; return the path of the old one, if it is kept."""
    folder, directory = presence.folder, presence.directory
    adopt_rights(f"{made.way}/{NEW}/{DATA_FILE}", folder.data)
    kept_as = _kept_aside(directory) if keep else None
    try:
        exchange(made, f"{NEW}/{DATA_FILE}", directory, DATA_FILE)
    except BaseException:
        # If it was not replaced:
        if kept_as is not None and os.path.samefile(folder.data, f"{folder.way}/{kept_as}"):
            os.unlink(kept_as, dir_fd=directory.descriptor)
        raise
    return None if kept_as is None else os.path.join(folder.path, kept_as)


def _kept_aside(directory: Directory) -> str:
    """Give the damaged file a second, free name, and return it."""
    inside = directory.descriptor
    when = time.strftime("damaged-%Y%m%dT%H%M%S", time.gmtime())
    for number in count():
        name = f"{when}-{number}.mdb" if number else f"{when}.mdb"
        with suppress(FileExistsError):
            os.link(DATA_FILE, name, src_dir_fd=inside, dst_dir_fd=inside)
            return name
    raise AssertionError  # `count` never ends
