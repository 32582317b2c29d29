"""RocksDB through `rocksdict`, with keys and records like those of live events of the store.

The databases are column families. A posting is a key: the flag, a zero byte and the timeline key.
Keys and values are raw bytes. Writes are batches, and synchronous if they must be durable. A Bloom
filter avoids reads for missing ids. After loading, the database is compacted. One process at a time
may open it. Saving does not check that ids are new.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from lmdbstore import Event
from lmdbstore.disk import format as fmt
from lmdbstore.records.record import TermKeys

from . import codec
from .base import Peer

__all__ = ["RocksDB"]

FAMILIES = ["timeline", "ids", "flags", "commits"]
CACHE = 1 << 30  # bytes of blocks, unpacked
BUFFER = 64 << 20  # bytes in memory before they are written to a file
PAGE = 1000  # records that are read in one call
BLOOM = 10  # bits a key


class RocksDB(Peer):
    """One database with four column families."""

    def __init__(self, folder: Path, *, sync: bool = True) -> None:
        super().__init__(folder)
        options = _options()
        self._db = Rdict(str(folder), options, dict.fromkeys(["default", *FAMILIES], options))
        self._timeline, self._ids, self._flags, self._commits = (
            self._db.get_column_family(name) for name in FAMILIES
        )
        self._handles = [self._db.get_column_family_handle(name) for name in FAMILIES]
        self._write = WriteOptions()
        self._write.sync = sync
        last = next(iter(self._commits.keys(backwards=True)), bytes(8))
        self._numbers = count(fmt.decode_number(last) + 1)
        self._flag_keys = TermKeys()

    def save(self, event: Event) -> None:
        self.save_many([event])

    def save_many(self, events: list[Event]) -> None:
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        timeline, ids, flags, commits = self._handles
        for event in events:
            row = codec.encode(event, self._flag_keys)
            number = fmt.encode_number(next(self._numbers))
            key = row.time + number
            put(key, row.record, timeline)
            put(row.id_key, key, ids)
            for flag in row.flag_keys:
                put(flag + b"\0" + key, b"", flags)
            put(number, row.time, commits)
        self._db.write(batch, self._write)

    def get(self, event_id: str) -> Event | None:
        key = self._ids.get(fmt.text_key(event_id))
        return None if key is None else codec.decode_one(self._timeline.get(key))

    def newest(self, number: int) -> Iterable[Event]:
        return codec.decode(list(islice(self._timeline.values(backwards=True), number)))

    def between(self, start: float, end: float) -> Iterator[Event]:
        return _decoded(_within(self._timeline.values, fmt.first_key(start), _end_key(end)))

    def flagged(self, *flags: str, limit: int | None = None) -> Iterator[Event]:
        keys = self._postings(flags)[:limit]
        for start in range(0, len(keys), PAGE):
            yield from codec.decode(self._timeline.get(keys[start : start + PAGE]))

    def matching(self, pattern: str, limit: int | None = None) -> Iterator[Event]:
        return islice(self._matching(pattern), limit)

    def count(self) -> int:
        return sum(1 for _ in self._commits.keys())  # noqa: SIM118  a database, not a dict

    def count_between(self, start: float, end: float) -> int:
        return sum(1 for _ in _within(self._timeline.keys, fmt.first_key(start), _end_key(end)))

    def count_flagged(self, flag: str) -> int:
        return sum(1 for _ in self._posting_keys(flag))

    def count_matching(self, pattern: str) -> int:
        return sum(1 for _ in self._matching(pattern))

    def delete(self, event_id: str) -> None:
        id_key = fmt.text_key(event_id)
        key = self._ids.get(id_key)
        timeline, ids, flags, commits = self._handles
        batch = WriteBatch(raw_mode=True)
        for flag in codec.decode_one(self._timeline.get(key)).tags:
            batch.delete(fmt.text_key(flag) + b"\0" + key, flags)
        batch.delete(key, timeline)
        batch.delete(id_key, ids)
        batch.delete(key[8:], commits)
        self._db.write(batch, self._write)

    def finish(self) -> None:
        for family in (self._timeline, self._ids, self._flags, self._commits):
            family.flush()
            family.compact_range(None, None)

    def close(self) -> None:
        self._db.close()

    def _posting_keys(self, flag: str) -> Iterator[bytes]:
        prefix = fmt.text_key(flag)
        return _within(self._flags.keys, prefix + b"\0", prefix + b"\1")

    def _postings(self, flags: tuple[str, ...]) -> list[bytes]:
        postings = [[key[-16:] for key in self._posting_keys(flag)] for flag in flags]
        shortest, *others = sorted(postings, key=len)
        return sorted(set(shortest).intersection(*others)) if others else shortest

    def _matching(self, pattern: str) -> Iterator[Event]:
        search = re.compile(pattern).search
        events = _decoded(iter(self._timeline.values()))
        return (event for event in events if search(event.content))


def _options() -> Any:
    blocks = BlockBasedOptions()
    blocks.set_bloom_filter(BLOOM, block_based=False)
    blocks.set_block_cache(Cache(CACHE))
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_block_based_table_factory(blocks)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(BUFFER)
    options.increase_parallelism(os.cpu_count() or 1)
    return options


def _within(read: Any, first: bytes, end: bytes) -> Iterator[bytes]:
    """Read from `first`, inclusive, to `end`, exclusive."""
    bounds = ReadOptions()
    bounds.set_iterate_upper_bound(end)
    yield from read(from_key=first, read_opt=bounds)  # `bounds` must live as long


def _end_key(seconds: float) -> bytes:
    return fmt.last_key(seconds) + b"\0"


def _decoded(records: Iterator[bytes]) -> Iterator[Event]:
    pages = iter(lambda: list(islice(records, PAGE)), [])
    return chain.from_iterable(map(codec.decode, pages))
