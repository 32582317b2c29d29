"""Bare py-lmdb: the same databases and keys, without a store.

Nothing is checked, no thread waits for another, and a local id is the last one plus one. Its time
is that of LMDB, of orjson and of making `Event` objects in Python: the limit for a store that is
built on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import lmdb
import orjson

from lmdbstore import Event
from lmdbstore.disk import format as fmt

from . import codec
from .base import Peer

__all__ = ["BareLMDB"]

MAP = 1 << 40  # bytes
SKEW = 8  # a posting set this many times as long as another is probed, not read


class BareLMDB(Peer):
    """One environment, and a transaction for each call."""

    def __init__(self, folder: Path, *, sync: bool = True) -> None:
        super().__init__(folder)
        self._env = lmdb.open(str(folder), map_size=MAP, max_dbs=8, max_spare_txns=16, sync=sync)
        self._timeline = self._env.open_db(codec.TIMELINE)
        self._ids = self._env.open_db(codec.IDS)
        self._flags = self._env.open_db(codec.FLAGS, dupsort=True, dupfixed=True)
        self._commits = self._env.open_db(codec.COMMITS)

    def save(self, event: Event) -> None:
        record, time = orjson.dumps(event[:]), fmt.encode_time(event.timestamp)
        with self._env.begin(write=True) as txn:
            number = fmt.encode_number(self._next(txn))
            key = time + number
            txn.put(event.id.encode(), key, db=self._ids)
            txn.put(key, record, db=self._timeline)
            for flag in event.tags:
                txn.put(flag.encode(), key, db=self._flags)
            txn.put(number, time, db=self._commits, append=True)

    def save_many(self, events: list[Event]) -> None:
        times = [fmt.encode_time(event.timestamp) for event in events]
        records = [orjson.dumps(event[:]) for event in events]
        with self._env.begin(write=True) as txn:
            first = self._next(txn)
            numbers = [fmt.encode_number(n) for n in range(first, first + len(events))]
            keys = [time + number for time, number in zip(times, numbers, strict=True)]
            ids = [event.id.encode() for event in events]
            flags = [
                (flag.encode(), key)
                for event, key in zip(events, keys, strict=True)
                for flag in event.tags
            ]
            self._put(txn, self._ids, sorted(zip(ids, keys, strict=True)))
            self._put(txn, self._timeline, list(zip(keys, records, strict=True)), append=True)
            self._put(txn, self._flags, sorted(flags))
            self._put(txn, self._commits, list(zip(numbers, times, strict=True)), append=True)

    def get(self, event_id: str) -> Event | None:
        with self._env.begin() as txn:
            key = txn.get(event_id.encode(), db=self._ids)
            record = None if key is None else txn.get(key, db=self._timeline)
        return None if record is None else Event._make(orjson.loads(record))

    def newest(self, number: int) -> Iterable[Event]:
        with self._env.begin() as txn, txn.cursor(self._timeline) as cursor:
            records = list(islice(cursor.iterprev(keys=False), number))
        return map(Event._make, map(orjson.loads, records))

    def between(self, start: float, end: float) -> Iterator[Event]:
        last, loads, make = fmt.last_key(end), orjson.loads, Event._make
        with self._env.begin() as txn, txn.cursor(self._timeline) as cursor:
            cursor.set_range(fmt.first_key(start))
            for key, record in cursor.iternext():
                if key > last:
                    return
                yield make(loads(record))

    def flagged(self, *flags: str, limit: int | None = None) -> Iterator[Event]:
        with self._env.begin() as txn:
            keys = self._postings(txn, flags)[:limit]
            with txn.cursor(self._timeline) as cursor:
                for _, record in cursor.getmulti(keys):
                    yield Event._make(orjson.loads(record))

    def matching(self, pattern: str, limit: int | None = None) -> Iterator[Event]:
        return islice(self._matching(pattern), limit)

    def count(self) -> int:
        with self._env.begin() as txn:
            return int(txn.stat(self._timeline)["entries"])

    def count_between(self, start: float, end: float) -> int:
        last = fmt.last_key(end)
        with self._env.begin() as txn, txn.cursor(self._timeline) as cursor:
            cursor.set_range(fmt.first_key(start))
            for number, key in enumerate(cursor.iternext(values=False)):
                if key > last:
                    return number
            return number + 1

    def count_flagged(self, flag: str) -> int:
        with self._env.begin() as txn, txn.cursor(self._flags) as cursor:
            return int(cursor.count()) if cursor.set_key(flag.encode()) else 0

    def count_matching(self, pattern: str) -> int:
        return sum(1 for _ in self._matching(pattern))

    def delete(self, event_id: str) -> None:
        with self._env.begin(write=True) as txn:
            key = txn.pop(event_id.encode(), db=self._ids) or b""
            record = txn.pop(key, db=self._timeline) or b""
            for flag in orjson.loads(record)[3]:
                txn.delete(flag.encode(), key, db=self._flags)
            txn.delete(key[8:], db=self._commits)

    def close(self) -> None:
        self._env.close()

    def _next(self, txn: lmdb.Transaction[bytes]) -> int:
        with txn.cursor(self._commits) as cursor:
            return fmt.decode_number(cursor.key()) + 1 if cursor.last() else 1

    @staticmethod
    def _put(
        txn: lmdb.Transaction[bytes],
        database: lmdb._Database,
        items: list[tuple[bytes, bytes]],
        *,
        append: bool = False,
    ) -> None:
        with txn.cursor(database) as cursor:
            cursor.putmulti(items, append=append)

    def _postings(self, txn: lmdb.Transaction[bytes], flags: tuple[str, ...]) -> list[bytes]:
        with txn.cursor(self._flags) as cursor:
            sizes = {flag.encode(): 0 for flag in flags}
            for flag in sizes:
                sizes[flag] = cursor.count() if cursor.set_key(flag) else 0
            shortest, *others = sorted(sizes, key=sizes.__getitem__)
            keys = self._set(cursor, shortest)
            for flag in others:
                if sizes[flag] > SKEW * len(keys):
                    keys = [key for key in keys if cursor.set_key_dup(flag, key)]
                else:
                    keys = sorted(set(keys).intersection(self._set(cursor, flag)))
        return keys

    @staticmethod
    def _set(cursor: lmdb.Cursor[bytes], flag: bytes) -> list[bytes]:
        return list(cursor.iternext_dup()) if cursor.set_key(flag) else []

    def _matching(self, pattern: str) -> Iterator[Event]:
        search, loads, make = re.compile(pattern).search, orjson.loads, Event._make
        with self._env.begin() as txn, txn.cursor(self._timeline) as cursor:
            for record in cursor.iternext(keys=False):
                fields = loads(record)
                if search(fields[4]):
                    yield make(fields)
