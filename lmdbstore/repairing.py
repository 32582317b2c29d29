"""Making a damaged store sound: all indexes are built anew from the records, into a fresh file.

Rules: the damaged file is read page by page without LMDB, which it could lead astray, and is not
written to. Of a record and its two checksums the majority is believed: one that agrees with either
was not changed; one that agrees with none is not known to be what was written. The fresh file is a
store like any other, made in a folder inside the old one's; it takes the old file's name only when
it is flushed and has been verified. What could not be kept is told, and then the old file stays
beside under another name. Memory does not grow with the store.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from . import format as fmt
from .changes import Change, Save
from .creation import DATA_FILE, MAKING, check_plain, flush_folder, sweep
from .errors import (
    EventStoreException,
    EventWriteException,
    InvalidEvent,
    StoreDamaged,
    StoreOpenError,
    shown,
)
from .event import checked
from .findings import Finding, FindingKind
from .options import folder_of
from .presence import alone_in
from .salvage import DataFile
from .space import check_space
from .store import LMDBEventStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .event import Event
    from .transaction import WriteTransaction
    from .verifying import Progress

__all__ = ["Repaired", "repair"]

PIECE = 10_000  # events of a transaction
TIMELINE = fmt.TIMELINE.decode()


class Repaired(NamedTuple):
    """What `repair` did."""

    events: int  # that were kept
    left_out: list[Finding]  # what could not be kept, or not be read
    old_file: str | None  # where the damaged file is now, if anything was left out


class _Kept(NamedTuple):
    """A record that is kept, and where it belongs."""

    key: bytes
    event: Event
    record: bytes


class Restore(Change):
    """Put records at the timeline keys that they had."""

    alone = True

    def __init__(self, kept: list[_Kept], next_local_id: int) -> None:
        """Give local ids from `next_local_id` on, or behind those of the records."""
        self._kept = kept
        self._next = next_local_id
        self.twice: list[_Kept] = []  # of an id that is taken

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        flag_keys = fmt.TextKeys()
        for kept in self._kept:
            row = fmt.encode(kept.event, flag_keys)._replace(
                record=kept.record, checksum=fmt.checksum(kept.record)
            )
            if txn.get(txn.databases.timeline, kept.key) is not None or not txn.claim(
                txn.databases.ids, row.id_key, kept.key + row.checksum
            ):
                self.twice.append(kept)
                continue
            Save.put(txn, kept.key, row, append=False)
            self._next = max(self._next, fmt.decode_number(kept.key[8:]) + 1)
        txn.next_local_id = max(txn.next_local_id, self._next)
        txn.changed = True
        return None


def repair(
    path: str | os.PathLike[str], *, keep_changed: bool = False, progress: Progress | None = None
) -> Repaired:
    """Build all indexes of a store anew, from its records.

    Nobody may have the store open, and nobody can open it meanwhile. The new file replaces the old
    one only when it is flushed and `verify` finds nothing in it; until then, and if this fails or
    is interrupted, the old one is untouched. Events keep their order and their local ids. It needs
    as much free space as the old file takes.

    A record is left out if it cannot be read, or agrees with neither of its checksums (a flipped
    bit), or both of these are lost. Then the old file is kept in the folder, as `damaged-<time in
    UTC>.mdb`: to see what was left out, copy it to a folder of its own as `data.mdb`, and repair it
    there with `keep_changed`.

    Args:
        path: The store's folder.
        keep_changed: Keep records that can be read and are not known to be what was written. Look
            at them: they then pass for it.
        progress: Is called with how many events are done, and of how many, now and then.

    Raises:
        StoreInUse: a process has the store open, this one maybe.
        StoreOpenError: there is no store, or it is none that could be repaired: the message says
            why.
        EventWriteException: the new file could not be written, as on a full disk.
    """
    folder = folder_of(path)
    check_plain(folder)
    name = os.path.join(folder, DATA_FILE)
    if not os.path.exists(name):
        raise StoreOpenError(f"there is no store at {shown(folder)}")
    with alone_in(folder):
        made = os.path.join(folder, f"{MAKING}{os.urandom(8).hex()}")
        try:
            sweep(folder)
            check_space(folder, os.stat(name).st_size)
            with open(name, "rb") as file:
                source = _Source(file, name, keep_changed=keep_changed)
                events = _rebuild(source, made, progress)
            return _replace(folder, made, events, source.left_out)
        except OSError as error:
            raise EventWriteException(
                f"the store {shown(folder)} could not be repaired, and is as it was: {error}"
            ) from error
        finally:
            shutil.rmtree(made, ignore_errors=True)


class _Source:
    """The records of a damaged file, and what could not be kept."""

    def __init__(self, file: object, name: str, *, keep_changed: bool) -> None:
        self.left_out: list[Finding] = []
        self._keep_changed = keep_changed
        try:
            self._file = DataFile(file, self._unreadable)  # type: ignore[arg-type]  # a file
        except ValueError as error:
            raise StoreOpenError(f"{shown(name)} cannot be repaired: {error}") from error
        trees = self._file.trees
        if fmt.TIMELINE not in trees:
            raise StoreOpenError(
                f"{shown(name)} cannot be repaired: it has no timeline that could be read"
            )
        self._timeline, self._ids, self._commits, meta, signatures = map(
            trees.get, (fmt.TIMELINE, fmt.IDS, fmt.COMMITS, fmt.META, fmt.SIGNATURES)
        )
        version = self._file.lookup(meta, fmt.FORMAT)
        if version is not None and version != fmt.encode_number(fmt.VERSION):
            raise StoreOpenError(
                f"{shown(name)} has format version {version.hex()}, and this lmdbstore writes "
                f"version {fmt.VERSION}; use the lmdbstore that wrote it"
            )
        following = self._file.lookup(meta, fmt.NEXT) or b""
        self.next_local_id = fmt.decode_number(following) if len(following) == 8 else 1  # noqa: PLR2004
        self.signed = signatures is not None and signatures.entries > 0
        self.total = self._timeline.entries if self._timeline else 0

    def _unreadable(self, what: str) -> None:
        self.left_out.append(Finding(FindingKind.PAGE, DATA_FILE, what))

    def leave_out(self, kind: FindingKind, detail: str, event_id: str | None = None) -> None:
        self.left_out.append(Finding(kind, TIMELINE, detail, event_id))

    def kept(self) -> Iterator[_Kept]:
        """Give the records that are kept, mostly in the order of the timeline."""
        assert self._timeline is not None  # noqa: S101  see __init__
        for key, record in self._file.walk(self._timeline):
            try:
                event = fmt.decode_one(record)
                if checked(event) != event or len(key) != fmt.KEY:
                    raise StoreDamaged("it is not as it would have been saved")  # noqa: TRY301
            except (StoreDamaged, InvalidEvent) as error:
                self.leave_out(FindingKind.RECORD_UNREADABLE, f"{key.hex()}: {error}")
                continue
            true_key = self._true_key(key, event, record)
            if true_key is not None:
                yield _Kept(true_key, event, record)

    def _true_key(self, key: bytes, event: Event, record: bytes) -> bytes | None:
        """Return where a record belongs; None if it is left out."""
        entry = self._file.lookup(self._ids, fmt.text_key(event.id))
        commit = self._file.lookup(self._commits, key[8:])
        checksum, when = fmt.checksum(record), fmt.encode_time(event.timestamp)
        present = [found for found in (entry and entry[fmt.KEY :], commit and commit[8:]) if found]
        if checksum not in present and not self._keep_changed:
            kind, detail = FindingKind.RECORD_CHANGED, "it does not agree with its checksum"
            if not present:
                kind, detail = FindingKind.RECORD_UNCHECKED, "both of its checksums are lost"
            self.leave_out(kind, detail, event.id)
            return None
        if entry is None or entry[fmt.KEY :] != checksum or len(entry) != fmt.KEY + fmt.CHECKSUM:
            return when + key[8:]
        if commit is None and entry[:8] == when:  # the local id in the key is the damaged one
            return fmt.key_in(entry)
        if fmt.key_in(entry) != key and self._is_elsewhere(entry, event):
            self.leave_out(FindingKind.ID_TWICE, f"the one at {key.hex()}", event.id)
            return None
        return when + key[8:]

    def _is_elsewhere(self, entry: bytes, event: Event) -> bool:
        """Whether the record that an entry of `ids` leads to is of the same id."""
        try:
            record = self._file.lookup(self._timeline, fmt.key_in(entry)) or b""
            return fmt.decode_one(record).id == event.id
        except StoreDamaged:
            return False


def _rebuild(source: _Source, made: str, progress: Progress | None) -> int:
    """Write what is kept into a new store in the folder `made`; return how many events it has."""
    kept = source.kept()
    try:
        # Flushed once, at the end: nobody sees it before.
        store = LMDBEventStore(made, durability="none", signatures=False)
    except StoreOpenError as error:
        raise EventWriteException(f"nothing was repaired: {error}") from error
    with store:
        read = 0
        while piece := list(islice(kept, PIECE)):
            restore = Restore(piece, source.next_local_id)
            store.apply(restore)
            for twice in restore.twice:
                source.leave_out(FindingKind.ID_TWICE, f"at {twice.key.hex()}", twice.event.id)
            read += len(piece)
            if progress is not None:
                progress(read, max(source.total, read))
        if source.next_local_id > 1:  # also where no event is left
            store.apply(Restore([], source.next_local_id))
        if source.signed:
            store.sign()
        store.flush()
        if findings := store.verify(pages=True):
            raise EventWriteException(
                f"the repaired file does not verify, and the store is as it was: {findings[0]}"
            )
        return len(store)


def _replace(folder: str, made: str, events: int, left_out: list[Finding]) -> Repaired:
    old, new = os.path.join(folder, DATA_FILE), os.path.join(made, DATA_FILE)
    status = os.stat(old)
    os.chmod(new, stat.S_IMODE(status.st_mode))
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(new, status.st_uid, status.st_gid)
    kept_as = None
    if left_out:
        kept_as = os.path.join(folder, time.strftime("damaged-%Y%m%dT%H%M%S.mdb", time.gmtime()))
        os.link(old, kept_as)
    os.replace(new, old)
    flush_folder(folder)
    return Repaired(events, left_out, kept_as)
