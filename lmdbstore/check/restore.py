"""Writing what is kept of a damaged file into a new store: records, checkpoints and cursors.

Rules: records keep their local ids. A local id belongs to one record; another record that claims it
gets a new one, at the end. Of two records with one id the first is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.contract.commits.cursor_state import decode_state
from lmdbstore.contract.commits.position import new_identity
from lmdbstore.disk import format as fmt
from lmdbstore.records.layout import record_checksum
from lmdbstore.records.named import encode_named
from lmdbstore.records.record import Row, Rows, TermKeys, encode, split_record
from lmdbstore.write.change import Change
from lmdbstore.write.save import Batch

from .findings import FindingKind
from .walk import LocalIds, pieces

if TYPE_CHECKING:
    from lmdbstore.contract.commits.position import Lineage
    from lmdbstore.engine.session import Session
    from lmdbstore.errors import EventStoreException
    from lmdbstore.records.named import NamedText
    from lmdbstore.write.transaction import WriteTransaction

    from .damaged_file import DamagedFile, Kept
    from .walk import Progress

__all__ = ["Identify", "Restore", "restore"]

NAMED = [
    (fmt.CHECKPOINTS, FindingKind.CHECKPOINT_DAMAGED),
    (fmt.CURSORS, FindingKind.CURSOR_DAMAGED),
]


class Identify(Change):
    """Give a store this lineage."""

    alone = True

    def __init__(self, lineage: Lineage) -> None:
        """Take its identity, and the stores of which it is a copy."""
        self._lineage = lineage

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        txn.set(txn.databases.meta, fmt.IDENTITY, fmt.encode_lineage(self._lineage))
        return None


class _PutNamed(Change):
    """Put named texts into a database."""

    alone = True

    def __init__(self, name: bytes, named: list[NamedText]) -> None:
        """Put them into the database of this name."""
        self._name = name
        self._named = named

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        for named in self._named:
            txn.set(getattr(txn.databases, self._name.decode()), named.key, encode_named(named))
        return None


class Restore(Change):
    """Put records at their timeline keys."""

    alone = True

    def __init__(
        self, kept: list[Kept], next_local_id: int, taken: LocalIds, *, compress: bool = False
    ) -> None:
        """New events will get local ids from `next_local_id` on, or after those of the records.

        The local ids in `taken` belong to other records.
        """
        self._compress = compress
        self._kept = kept
        self._taken = taken
        self.next_local_id = next_local_id
        self.keys: list[bytes] = []  # of what was written
        self.twice: list[Kept] = []  # records whose id is taken
        self.unplaced: list[Kept] = []  # records without a local id, or with a taken one

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        self.keys, self.twice, self.unplaced = [], [], []
        txn.compresses |= self._compress
        rows = self._placed(txn)
        if rows:
            Batch(Rows.of(rows), txn.databases.seed).write(txn, self.keys)
            highest = max(fmt.decode_number(fmt.local_id_of(key)) for key in self.keys)
            self.next_local_id = max(self.next_local_id, highest + 1)
        txn.next_local_id = max(txn.next_local_id, self.next_local_id)
        txn.changed = True
        return None

    def _placed(self, txn: WriteTransaction) -> list[Row]:
        """Return what is written, and note at which keys: of two that claim the same, the first."""
        known = TermKeys()
        rows: list[Row] = []
        ids: dict[str, bytes] = {}
        local_ids = {0}
        for kept in self._kept:
            row = _row(kept, known)
            local_id = fmt.decode_number(fmt.local_id_of(kept.key))
            there = ids.get(row.id) or txn.located(row.id)
            if there is not None:
                if there != kept.key:  # else it is the same event, found twice
                    self.twice.append(kept)
            elif local_id in local_ids or local_id in self._taken or local_id >= fmt.LOCAL_IDS:
                self.unplaced.append(kept)
            else:
                ids[row.id] = kept.key
                local_ids.add(local_id)
                rows.append(row)
                self.keys.append(kept.key)
        return rows


def _row(kept: Kept, known: TermKeys) -> Row:
    """Return the row of a record, which is not changed."""
    header, content = split_record(kept.record)
    return encode(kept.event, known)._replace(
        header=header, content=content, checksum=record_checksum(kept.record)
    )


def restore(source: DamagedFile, session: Session, progress: Progress | None) -> None:
    """Write the records to keep into a new store; what is left out is noted in `source`."""
    following = source.next_local_id
    taken = LocalIds()
    unplaced: list[Kept] = []  # few: this damage is rare

    def put(piece: list[Kept]) -> None:
        nonlocal following
        change = Restore(piece, following, taken, compress=source.has_compressed)
        session.write(change)
        following = change.next_local_id
        for key in change.keys:
            taken.take(fmt.decode_number(fmt.local_id_of(key)))
        unplaced.extend(change.unplaced)
        for twice in change.twice:
            source.leave_out_twice(twice)

    read = 0
    for piece in pieces(source.kept(), lambda kept: len(kept.record)):
        put(piece)
        read += len(piece)
        if progress is not None:
            progress(read, max(source.total, read))
    put(  # even an empty list: it writes the next local id if no event is left
        [
            kept._replace(key=fmt.join_key(fmt.time_of(kept.key), fmt.encode_number(local_id)))
            for local_id, kept in enumerate(unplaced, following)
        ]
    )
    _restore_named(source, session, following - 1)
    if source.lineage is not None:
        copied = source.lineage.copied(new_identity(), following - 1)
        session.write(Identify(source.lineage if source.has_next else copied))


def _restore_named(source: DamagedFile, session: Session, last: int) -> None:
    """Write checkpoints and cursors; `last` is the last local id of the new store."""
    for name, kind in NAMED:
        lost = name == fmt.CURSORS and not source.has_next
        for some in pieces(source.named(name, kind), lambda named: len(named.text)):
            kept = [_within(named, last) for named in some] if lost else some
            session.write(_PutNamed(name, kept))


def _within(named: NamedText, last: int) -> NamedText:
    """Return a cursor that has come no further than to the last local id, as others come again."""
    try:
        return named._replace(text=decode_state(named.text).within(last).encode())
    except ValueError:  # it is kept as it is, and reported when it is used
        return named
