"""The write transaction: the only holder of LMDB's transaction while a write is under way.

Rules: it begins, works and ends on one thread. It is committed explicitly. It is abandoned by
dropping the last reference to LMDB's transaction and its cursors, never by `abort()`: that does not
return while other threads of the process keep reading, and holds the write lock against every
process until then. So no other object keeps a reference: changes use the methods here, and the
frames of an exception are cleared before the transaction is dropped.
"""

from __future__ import annotations

import traceback
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import lmdb

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import bytes_in_use, next_local_id
from lmdbstore.disk.map_size import DEFAULT_MAP_SIZE
from lmdbstore.errors import StoreDamaged, shown
from lmdbstore.read.one import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdb import Cursor
    from lmdb import _Database as Database

    from lmdbstore.disk.databases import Databases

__all__ = ["WORTH_APPENDING", "Due", "WriteTransaction"]

# Bytes of the map reserved for deletes: a delete copies each page that it changes, and the pages it
# frees are used again only by the next transaction but one. Without a reserve a store that is full
# to the last page could not be emptied.
RESERVE = 1 << 18
LARGEST_PAGE = 1 << 16  # bytes; LMDB's limit
# Records, or postings of one term: appending this many fills their pages, and costs one seek.
WORTH_APPENDING = 8
FAR = 1 << 30  # unused bytes of the map; with this many a few events need no exact check

_NONE: Any = None


class Due:
    """Hints of when live events may be sealed; wrong ones cost time, and nothing else."""

    __slots__ = ("late", "live", "place", "rest", "tail", "unsigned")

    def __init__(self) -> None:
        """Look at once."""
        self.tail = 0  # the number of live events at which those at the end are counted again
        self.late = 0  # the same for those before the end of a run
        self.place = fmt.FIRST_KEY  # where looking at those continues
        self.live = 0  # the number of live events when one of these was noted
        self.rest = 0  # saves that seal nothing: see `write.damage`
        self.unsigned: list[bytes] = []  # the ends of the runs that get their signatures next

    def look_at(self, live: int) -> None:
        """Look at once if far fewer events are live than before: others may be sealed now."""
        if live < self.live // 2:
            self.tail = self.late = self.live = 0


class WriteTransaction:
    """One write transaction of LMDB, and the local ids that it gives out."""

    def __init__(
        self,
        environment: lmdb.Environment,
        databases: Databases,
        due: Due,
        *,
        compresses: bool = False,
    ) -> None:
        """Prepare a transaction; `begin` begins it. It may compress the runs that it writes."""
        self.databases = databases
        self._environment = environment
        # A plain attribute, since it is read ten times a save. None outside of the transaction.
        self._txn: lmdb.Transaction[bytes] = _NONE
        self.number = 0  # LMDB's, of this transaction; 0 until it has begun
        self._first_local_id = self.next_local_id = 0
        self.changed = False
        self._sealed: int | None = None
        self.compresses = compresses
        self.due = due  # hints of when to seal, kept between transactions

    def begin(self) -> None:
        """Begin; the lock of the barrier is held, so that this does not wait."""
        self._txn = self._environment.begin(write=True)
        self.number = self._txn.id()
        found = next_local_id(self._txn, self.databases)
        self._first_local_id = self.next_local_id = fmt.decode_number(found)
        if not 0 < self.next_local_id < fmt.LOCAL_IDS:
            raise StoreDamaged(
                f"the store's next local id is {self.next_local_id:,}, which is out of range; "
                "repair it"
            )

    # -- changes: each reports whether it happened, or raises if the indexes contradict each other -

    def get(self, database: Database, key: bytes) -> bytes | None:
        """Return the value of a key."""
        return self._txn.get(key, db=database)

    def cursor(self, database: Database) -> Cursor[bytes]:
        """Return a cursor, which the caller closes before it returns; it notes what it changes."""
        return self._txn.cursor(db=database)

    def located(self, event_id: str) -> bytes | None:
        """Return the timeline key of an event, if there is one with this id."""
        return key_of(self._txn, self.databases, event_id)

    def put(self, database: Database, key: bytes, value: bytes, *, append: bool = False) -> None:
        """Put a key, or a posting, that must be new."""
        self.changed = True
        posting = self._has_pairs(database)
        if not self._txn.put(
            key, value, overwrite=posting, dupdata=not posting, append=append, db=database
        ):
            raise StoreDamaged(f"the key {shown(key)} is in an index, but its event is not")

    def put_many(
        self, database: Database, items: Sequence[tuple[bytes, bytes]], *, append: bool = False
    ) -> int:
        """Put pairs in their order, except those with a taken key; return how many were new."""
        posting = self._has_pairs(database)
        with self._txn.cursor(db=database) as cursor:
            _, added = cursor.putmulti(items, overwrite=posting, dupdata=not posting, append=append)
        self.changed |= added > 0
        return added

    def put_all(
        self, database: Database, items: Sequence[tuple[bytes, bytes]], *, append: bool = False
    ) -> None:
        """Put pairs in their order; all of them must be new."""
        added = self.put_many(database, items, append=append)
        if added != len(items):
            raise StoreDamaged(
                f"{len(items) - added:,} of {len(items):,} new entries are in an index already"
            )

    def put_postings(self, database: Database, postings: dict[bytes, list[bytes]]) -> None:
        """Put new postings; those of each term are in order."""
        few: list[tuple[bytes, bytes]] = []
        for term, keys in sorted(postings.items()):
            pairs = [(term, key) for key in keys]
            if len(pairs) < WORTH_APPENDING:
                few += pairs
            else:
                at_end = keys[0] > self.last_posting(database, term)
                self.put_all(database, pairs, append=at_end)
        self.put_all(database, few)

    def discard(self, database: Database, key: bytes) -> None:
        """Remove a key, if it is there."""
        self.changed |= self._txn.delete(key, db=database)

    def _has_pairs(self, database: Database) -> bool:
        return database is self.databases.postings or database is self.databases.run_postings

    def remove(self, database: Database, key: bytes, value: bytes = b"") -> None:
        """Remove a key, or a posting, that must be there."""
        self.changed = True
        if not self._txn.delete(key, value, db=database):
            raise StoreDamaged(f"the key {shown(key)} is missing from an index of its event")

    def last_key(self, database: Database) -> bytes:
        """Return the last key, or an empty one."""
        with self._txn.cursor(db=database) as cursor:
            return cursor.key() if cursor.last() else b""

    def last_posting(self, database: Database, term: bytes) -> bytes:
        """Return the last key of a posting set, or an empty one."""
        with self._txn.cursor(db=database) as cursor:
            return cursor.value() if cursor.set_key(term) and cursor.last_dup() else b""

    def set(self, database: Database, key: bytes, value: bytes) -> None:
        """Put a key, new or not."""
        self.changed = True
        self._txn.put(key, value, db=database)

    def ceiling(self, database: Database, key: bytes) -> tuple[bytes, bytes] | None:
        """Return the first item whose key is not below `key`."""
        with self._txn.cursor(db=database) as cursor:
            return cursor.item() if cursor.set_range(key) else None

    def first_key(self, database: Database, key: bytes) -> bytes:
        """Return the first key that is not below `key`, or an empty one."""
        with self._txn.cursor(db=database) as cursor:
            return cursor.key() if cursor.set_range(key) else b""

    def bytes_in_use(self) -> int:
        """Return the bytes in the pages of all databases, uncommitted changes included."""
        return sum(bytes_in_use(self._txn, self.databases).values())

    @property
    def map_may_grow(self) -> bool:
        """Whether the map is so small that the changes may be carried out again in a larger one."""
        return self._environment.info()["map_size"] < DEFAULT_MAP_SIZE

    def check_room(self, *, many: bool) -> None:
        """Raise MapFullError if the changes would leave too little room for deletes.

        `many`: the changes may be more than a few events.
        """
        info = self._environment.info()
        if not many and info["map_size"] - info["last_pgno"] * LARGEST_PAGE >= FAR:
            return  # a short path: far away, whatever the size of a page
        page = self._environment.stat()["psize"]
        far = info["map_size"] - info["last_pgno"] * page >= FAR
        if not self.changed or (far and not many):
            return
        if self.bytes_in_use() > info["map_size"] - RESERVE:
            raise lmdb.MapFullError("the rest of the map is reserved for deletes")

    def items_below(self, database: Database, key: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
        """Return the items from `key` on and below `end`."""
        with self._txn.cursor(db=database) as cursor:
            if not cursor.set_range(key):
                return []
            return list(takewhile(lambda item: item[0] < end, cursor.iternext()))

    def first_items(
        self, database: Database, key: bytes, most: int | None = None, most_bytes: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return the first items from `key` on, until the bytes of their values are too many."""
        with self._txn.cursor(db=database) as cursor:
            if not cursor.set_range(key):
                return []
            found = islice(cursor.iternext(), most)
            if most_bytes is None:
                return list(found)
            items, size = list[tuple[bytes, bytes]](), 0
            for item in found:
                items.append(item)
                size += len(item[1])
                if size >= most_bytes:
                    break
            return items

    def clear(self, database: Database) -> None:
        """Remove all items."""
        self.changed = True
        self._txn.drop(database, delete=False)

    def entries(self, database: Database) -> int:
        """Return the number of entries; O(1)."""
        return self._txn.stat(database)["entries"]

    def keys_from(self, database: Database, key: bytes, most: int) -> list[bytes]:
        """Return the first keys that are not below `key`."""
        with self._txn.cursor(db=database) as cursor:
            if not cursor.set_range(key):
                return []
            return list(islice(cursor.iternext(keys=True, values=False), most))

    def key_below(self, database: Database, key: bytes) -> bytes | None:
        """Return the last key that is below `key`."""
        with self._txn.cursor(db=database) as cursor:
            found = cursor.prev() if cursor.set_range(key) else cursor.last()
            return cursor.key() if found else None

    def first_of_run(self, end: bytes) -> bytes:
        """Return the first key that belongs to the run with this end."""
        below = self.key_below(self.databases.runs, end)
        return fmt.FIRST_KEY if below is None else fmt.after_key(below)

    def has_key_in(self, database: Database, low: bytes, high: bytes) -> bool:
        """Whether there is a key in a range, both ends included."""
        found = self.keys_from(database, low, 1)
        return bool(found) and found[0] <= high

    @property
    def sealed(self) -> int:
        """How many events are in runs and not deleted."""
        if self._sealed is None:
            found = self.get(self.databases.meta, fmt.SEALED)
            if found is None:
                raise StoreDamaged("the store's number of sealed events is missing; repair it")
            self._sealed = fmt.decode_number(found)
        return self._sealed

    @sealed.setter
    def sealed(self, number: int) -> None:
        self._sealed = number
        self.set(self.databases.meta, fmt.SEALED, fmt.encode_number(number))

    # -- the end ----------------------------------------------------------------------------------

    def commit(self) -> None:
        """Commit the changes: flushed to disk when this returns, with `durability="full"`."""
        if self.next_local_id != self._first_local_id:
            self._txn.put(fmt.NEXT, fmt.encode_number(self.next_local_id), db=self.databases.meta)
        if self.changed:
            self._txn.put(fmt.TRANSACTION, fmt.encode_checked(self.number))
            self._txn.commit()
        self._txn = _NONE

    def is_committed(self) -> bool:
        """Whether the commit happened, even if an interrupt struck as it returned.

        The barrier's lock is held, so that no later commit can be mistaken for this one.
        """
        return self.changed and self._environment.info()["last_txnid"] >= self.number > 0

    def outcome_is_unknown(self) -> bool:
        """Whether a failed commit left LMDB in the state in which it refuses all work."""
        try:
            with self._environment.begin():
                return False
        except lmdb.PanicError:
            return True
        except lmdb.Error:
            return False

    def settle(self) -> None:
        """Commit nothing: this completes the half-finished commit of a writer that died."""
        self._txn.commit()
        self._txn = _NONE

    def drop(self, error: BaseException | None = None) -> None:
        """Abandon the uncommitted changes; `error` is the reason."""
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__cause__ or error.__context__
        self._txn = _NONE
