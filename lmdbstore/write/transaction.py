"""The write transaction: the only holder of LMDB's transaction while a write is under way.

Rules: it begins, works and ends on one thread. It is committed explicitly. It is abandoned by
dropping the last reference to LMDB's transaction and its cursors, never by `abort()`: that does not
return while other threads of the process keep reading, and holds the write lock against every
process until then. So no other object keeps a reference: changes use the methods here, and the
frames of an exception are cleared before the transaction is dropped.
"""

from __future__ import annotations

import traceback
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, Any

import lmdb

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import bytes_in_use, next_local_id
from lmdbstore.disk.map_size import DEFAULT_MAP_SIZE
from lmdbstore.errors import StoreDamaged, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmdb import _Database as Database

    from lmdbstore.disk.databases import Databases

__all__ = ["WriteTransaction"]

# Bytes of the map reserved for deletes: a delete copies each page that it changes, and the pages it
# frees are used again only by the next transaction but one. Without a reserve a store that is full
# to the last page could not be emptied.
RESERVE = 1 << 18
LARGEST_PAGE = 1 << 16  # bytes; LMDB's limit
FAR = 1 << 30  # unused bytes of the map; with this many a few events need no exact check

_NONE: Any = None


class WriteTransaction:
    """One write transaction of LMDB, and the local ids that it gives out."""

    def __init__(self, environment: lmdb.Environment, databases: Databases) -> None:
        """Prepare a transaction; `begin` begins it."""
        self.databases = databases
        self._environment = environment
        # A plain attribute, since it is read ten times a save. None outside of the transaction.
        self._live: lmdb.Transaction[bytes] = _NONE
        self.number = 0  # LMDB's, of this transaction; 0 until it has begun
        self._first_local_id = self.next_local_id = 0
        self.changed = False
        self._signed_end: bytes | None = None

    def begin(self) -> None:
        """Begin; the lock of the barrier is held, so that this does not wait."""
        self._live = self._environment.begin(write=True)
        self.number = self._live.id()
        found = next_local_id(self._live, self.databases)
        self._first_local_id = self.next_local_id = fmt.decode_number(found)
        if not 0 < self.next_local_id < fmt.LOCAL_IDS:
            raise StoreDamaged(
                f"the store's next local id is {self.next_local_id:,}, which is out of range; "
                "repair it"
            )

    # -- changes: each reports whether it happened, or raises if the indexes contradict each other -

    def get(self, database: Database, key: bytes) -> bytes | None:
        """Return the value of a key."""
        return self._live.get(key, db=database)

    def claim(self, database: Database, key: bytes, value: bytes) -> bool:
        """Put a key that may be taken; False if it is, and then nothing was changed."""
        done = self._live.put(key, value, overwrite=False, db=database)
        self.changed |= done
        return done

    def put(self, database: Database, key: bytes, value: bytes, *, append: bool = False) -> None:
        """Put a key, or a pair of `flags`, that must be new."""
        self.changed = True
        posting = database is self.databases.flags
        if not self._live.put(
            key, value, overwrite=posting, dupdata=not posting, append=append, db=database
        ):
            raise StoreDamaged(f"the key {shown(key)} is in an index, but its event is not")

    def put_many(
        self, database: Database, items: Sequence[tuple[bytes, bytes]], *, append: bool = False
    ) -> int:
        """Put pairs in their order, except those with a taken key; return how many were new."""
        posting = database is self.databases.flags
        with self._live.cursor(db=database) as cursor:
            _, added = cursor.putmulti(items, overwrite=posting, dupdata=not posting, append=append)
        self.changed |= added > 0
        return added

    def take(self, database: Database, key: bytes) -> bytes | None:
        """Remove a key, and return its value."""
        self.changed = True
        return self._live.pop(key, db=database)

    def remove(self, database: Database, key: bytes, value: bytes = b"") -> None:
        """Remove a key, or a pair of `flags`, that must be there."""
        self.changed = True
        if not self._live.delete(key, value, db=database):
            raise StoreDamaged(f"the key {shown(key)} is missing from an index of its event")

    def last_key(self, database: Database) -> bytes:
        """Return the last key, or an empty one."""
        with self._live.cursor(db=database) as cursor:
            return cursor.key() if cursor.last() else b""

    def last_posting(self, flag_key: bytes) -> bytes:
        """Return the last key of a posting set, or an empty one."""
        with self._live.cursor(db=self.databases.flags) as cursor:
            return cursor.value() if cursor.set_key(flag_key) and cursor.last_dup() else b""

    def set(self, database: Database, key: bytes, value: bytes) -> None:
        """Put a key, new or not."""
        self.changed = True
        self._live.put(key, value, db=database)

    def floor(self, database: Database, key: bytes) -> tuple[bytes, bytes] | None:
        """Return the last item whose key is not above `key`."""
        with self._live.cursor(db=database) as cursor:
            if not cursor.set_range(key):
                return cursor.item() if cursor.last() else None
            return cursor.item() if cursor.key() == key or cursor.prev() else None

    def ceiling(self, database: Database, key: bytes) -> tuple[bytes, bytes] | None:
        """Return the first item whose key is not below `key`."""
        with self._live.cursor(db=database) as cursor:
            return cursor.item() if cursor.set_range(key) else None

    def first_key(self, database: Database, key: bytes) -> bytes:
        """Return the first key that is not below `key`, or an empty one."""
        with self._live.cursor(db=database) as cursor:
            return cursor.key() if cursor.set_range(key) else b""

    def bytes_in_use(self) -> int:
        """Return the bytes in the pages of all databases, uncommitted changes included."""
        return sum(bytes_in_use(self._live, self.databases).values())

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

    def first_items(
        self, database: Database, key: bytes, end: bytes | None, most: int
    ) -> list[tuple[bytes, bytes]]:
        """Return the first items from `key` on, below `end` if it is given."""
        with self._live.cursor(db=database) as cursor:
            if not cursor.set_range(key):
                return []
            items = list(islice(cursor.iternext(), most))
        if end is not None and items[-1][0] >= end:
            del items[bisect_left(items, (end, b"")) :]
        return items

    def clear(self, database: Database) -> None:
        """Remove all items."""
        self.changed = True
        self._live.drop(database, delete=False)

    @property
    def signed_end(self) -> bytes:
        """The end of the last run that has a signature; empty if there is none."""
        if self._signed_end is None:
            with self._live.cursor(db=self.databases.signatures) as cursor:
                self._signed_end = fmt.run_end(cursor.value()) if cursor.last() else b""
        return self._signed_end

    @signed_end.setter
    def signed_end(self, end: bytes) -> None:
        self._signed_end = end

    # -- the end ----------------------------------------------------------------------------------

    def commit(self) -> None:
        """Commit the changes: flushed to disk when this returns, with `durability="full"`."""
        if self.next_local_id != self._first_local_id:
            self._live.put(fmt.NEXT, fmt.encode_number(self.next_local_id), db=self.databases.meta)
        if self.changed:
            self._live.put(fmt.TRANSACTION, fmt.encode_checked(self.number))
            self._live.commit()
        self._live = _NONE

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
        self._live.commit()
        self._live = _NONE

    def drop(self, error: BaseException | None = None) -> None:
        """Abandon the uncommitted changes; `error` is the reason."""
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__cause__ or error.__context__
        self._live = _NONE
