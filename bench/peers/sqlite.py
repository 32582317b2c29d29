"""SQLite from the standard library, tuned for this work.

It has WAL and a memory map. `synchronous` is FULL or OFF, as durable as the store with which it is
compared. There is an index by time, and a tag table WITHOUT ROWID in addition to the tags in the
row. ANALYZE runs after loading. Since the key of the tag table has the time, events with a flag are
read in order without a sort. This saves a fifth of the time, and almost all of it with a limit, for
29 bytes an event. REGEXP is a Python function with a cache of compiled patterns, since SQLite has
no regular expressions. SQLite in its usual builds does not know which flag is rare, and begins with
the one that is given first.

All threads share one connection under a lock. This is faster than a connection a thread: SQLite
allows one writer at a time in any case, and connections that wait for each other sleep.
"""

from __future__ import annotations

import math
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from lmdbstore import Event

from .base import TOP, Peer

__all__ = ["SQLite", "SQLiteLike"]

PRAGMAS = """PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA mmap_size=17179869184;
             PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY; PRAGMA case_sensitive_like=ON;"""
TABLES = """CREATE TABLE IF NOT EXISTS event (n INTEGER PRIMARY KEY, id TEXT UNIQUE, source TEXT,
                                              ts REAL, tags TEXT, content TEXT);
            CREATE INDEX IF NOT EXISTS by_time ON event (ts);
            CREATE TABLE IF NOT EXISTS tag (flag TEXT, ts REAL, n INTEGER,
                                            PRIMARY KEY (flag, ts, n)) WITHOUT ROWID;"""
BEGIN = "BEGIN IMMEDIATE"  # otherwise a transaction that reads and then writes may fail
SELECT = "SELECT id, source, ts, tags, content FROM event"
SELECT_FLAGGED = """SELECT id, source, event.ts, tags, content
                    FROM tag JOIN event ON event.n = tag.n"""
INSERT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)"
INSERT_TAG = "INSERT INTO tag VALUES (?, ?, ?)"
DELETE_TAG = "DELETE FROM tag WHERE flag = ? AND ts = ? AND n = ?"
WAIT = 60.0  # seconds that a process waits for a write of another


class SQLite(Peer):
    """One file, one connection."""

    def __init__(self, folder: Path, *, synchronous: str = "FULL") -> None:
        super().__init__(folder)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            folder / "events.db",
            timeout=WAIT,
            check_same_thread=False,
            isolation_level=None,
            cached_statements=256,
        )
        self._db.executescript(f"{PRAGMAS} PRAGMA synchronous={synchronous}; {TABLES}")
        self._db.create_function("regexp", 2, _regexp, deterministic=True)

    def save(self, event: Event) -> None:
        self.save_many([event])

    def save_many(self, events: list[Event]) -> None:
        with self._lock, self._db:
            self._db.execute(BEGIN)
            first = self._one("SELECT ifnull(max(n), 0) + 1 FROM event")
            self._db.executemany(
                INSERT,
                [
                    (n, event.id, event.source, event.timestamp, _dumps(event.tags), event.content)
                    for n, event in zip(count(first), events, strict=False)
                ],
            )
            # Sorted, the rows of a flag are written to the same pages one after the other.
            tags = [
                (flag, event.timestamp, n)
                for n, event in zip(count(first), events, strict=False)
                for flag in event.tags
            ]
            self._db.executemany(INSERT_TAG, sorted(tags))

    def get(self, event_id: str) -> Event | None:
        row = self._db.execute(f"{SELECT} WHERE id = ?", (event_id,)).fetchone()
        return None if row is None else _event(row)

    def newest(self, number: int) -> Iterable[Event]:
        return self._events("ORDER BY ts DESC, n DESC LIMIT ?", number)

    def between(self, start: float, end: float) -> Iterable[Event]:
        return self._events("WHERE ts BETWEEN ? AND ? ORDER BY ts, n", start, end)

    def flagged(self, *flags: str, limit: int | None = None) -> Iterable[Event]:
        first, *others = flags
        joins = " ".join(
            f"JOIN tag t{k} ON t{k}.ts = tag.ts AND t{k}.n = tag.n AND t{k}.flag = ?"
            for k in range(len(others))
        )
        query = f"{SELECT_FLAGGED} {joins} WHERE tag.flag = ? ORDER BY tag.ts, tag.n LIMIT ?"
        return map(_event, self._db.execute(query, (*others, first, _limit(limit))))

    def matching(self, pattern: str, limit: int | None = None) -> Iterable[Event]:
        where = "WHERE content REGEXP ? ORDER BY ts, n LIMIT ?"
        return self._events(where, pattern, _limit(limit))

    def count(self) -> int:
        return self._one("SELECT count(*) FROM event")

    def count_between(self, start: float, end: float) -> int:
        return self._one("SELECT count(*) FROM event WHERE ts BETWEEN ? AND ?", start, end)

    def count_flagged(self, flag: str) -> int:
        return self._one("SELECT count(*) FROM tag WHERE flag = ?", flag)

    def count_matching(self, pattern: str) -> int:
        return self._one("SELECT count(*) FROM event WHERE content REGEXP ?", pattern)

    def histogram(self, seconds: float, flag: str | None = None) -> Iterable[tuple[float, int]]:
        table = "event" if flag is None else "tag WHERE flag = ?"
        query = f"SELECT CAST(ts / ? AS INTEGER) * ?, count(*) FROM {table} GROUP BY 1 ORDER BY 1"
        values = (seconds, float(seconds), *([] if flag is None else [flag]))
        return self._db.execute(query, values)

    def top(self, start: float = -math.inf, end: float = math.inf) -> Iterable[tuple[str, int]]:
        whole = (start, end) == (-math.inf, math.inf)
        where = "" if whole else "WHERE ts BETWEEN ? AND ?"
        for table, field in (("tag", "flag"), ("event", "source")):
            query = f"SELECT {field}, count(*) FROM {table} {where} GROUP BY 1 ORDER BY 2 DESC, 1"
            yield from self._db.execute(f"{query} LIMIT {TOP}", () if whole else (start, end))

    def delete(self, event_id: str) -> None:
        with self._lock, self._db:
            self._db.execute(BEGIN)
            query = "DELETE FROM event WHERE id = ? RETURNING ts, n, tags"
            for ts, n, tags in self._db.execute(query, (event_id,)).fetchall():
                keys = [(flag, ts, n) for flag in orjson.loads(tags)]
                self._db.executemany(DELETE_TAG, keys)

    def finish(self) -> None:
        self._db.executescript("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._db.close()

    def _events(self, where: str, *values: object) -> Iterator[Event]:
        return map(_event, self._db.execute(f"{SELECT} {where}", values))

    def _one(self, query: str, *values: object) -> int:
        number: int = self._db.execute(query, values).fetchone()[0]
        return number


class SQLiteLike(SQLite):
    """The same database, searched with LIKE; for patterns that are literals."""

    def matching(self, pattern: str, limit: int | None = None) -> Iterable[Event]:
        where = "WHERE content LIKE ? ORDER BY ts, n LIMIT ?"
        return self._events(where, f"%{pattern}%", _limit(limit))

    def count_matching(self, pattern: str) -> int:
        return self._one("SELECT count(*) FROM event WHERE content LIKE ?", f"%{pattern}%")


def _event(row: tuple[Any, ...]) -> Event:
    id_, source, timestamp, tags, content = row
    return Event._make((id_, source, timestamp, orjson.loads(tags), content))


def _dumps(tags: list[str]) -> str:
    return orjson.dumps(tags).decode()


def _limit(limit: int | None) -> int:
    return -1 if limit is None else limit


def _regexp(pattern: str, content: str) -> bool:
    return _searcher(pattern)(content) is not None


@lru_cache
def _searcher(pattern: str) -> Any:
    return re.compile(pattern).search
