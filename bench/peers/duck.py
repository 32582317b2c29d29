"""DuckDB: tags in a list column, rows written and read by Arrow, the fastest way of its API.

There is no index by time: DuckDB knows the least and the greatest value of each row group, and
skips row groups as long as rows are in order of time. `get` needs the primary key. Every write of
DuckDB is durable. One process at a time may write.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from lmdbstore import Event

from .base import TOP, Peer

__all__ = ["DuckDB", "DuckDBOneThread"]

TABLE = """CREATE TABLE IF NOT EXISTS event (id VARCHAR PRIMARY KEY, source VARCHAR, ts DOUBLE,
                                             tags VARCHAR[], content VARCHAR)"""
SELECT = "SELECT id, source, ts, tags, content FROM event"
ORDER = "ORDER BY ts, rowid"
FIELDS = ["id", "source", "ts", "tags", "content"]


class DuckDB(Peer):
    """One file, one connection under a lock, as many threads as there are cores."""

    threads: int | None = None  # None for DuckDB's choice, all cores

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._lock = threading.Lock()
        self._db = duckdb.connect(str(folder / "events.duckdb"))
        self._run(TABLE)

    def ready(self) -> None:
        self._run("RESET threads" if self.threads is None else f"SET threads={self.threads}")

    def save(self, event: Event) -> None:
        with self._lock:
            self._run("INSERT INTO event VALUES (?, ?, ?, ?, ?)", *event)

    def save_many(self, events: list[Event]) -> None:
        columns = [pa.array(column) for column in zip(*events, strict=True)]
        with self._lock:
            self._db.register("batch", pa.table(columns, names=FIELDS))
            self._run("INSERT INTO event SELECT * FROM batch")
            self._db.unregister("batch")

    def get(self, event_id: str) -> Event | None:
        rows = self._rows(f"{SELECT} WHERE id = ?", event_id)
        return Event._make(rows[0]) if rows else None

    def newest(self, number: int) -> Iterable[Event]:
        rows = self._rows(f"{SELECT} ORDER BY ts DESC, rowid DESC LIMIT ?", number)
        return map(Event._make, rows)

    def between(self, start: float, end: float) -> Iterable[Event]:
        return self._events(f"WHERE ts BETWEEN ? AND ? {ORDER}", start, end)

    def flagged(self, *flags: str, limit: int | None = None) -> Iterable[Event]:
        where = " AND ".join(["list_contains(tags, ?)"] * len(flags))
        return self._events(f"WHERE {where} {ORDER}{_limit(limit)}", *flags)

    def matching(self, pattern: str, limit: int | None = None) -> Iterable[Event]:
        return self._events(f"WHERE regexp_matches(content, ?) {ORDER}{_limit(limit)}", pattern)

    def count(self) -> int:
        return self._one("SELECT count(*) FROM event")

    def count_between(self, start: float, end: float) -> int:
        return self._one("SELECT count(*) FROM event WHERE ts BETWEEN ? AND ?", start, end)

    def count_flagged(self, flag: str) -> int:
        return self._one("SELECT count(*) FROM event WHERE list_contains(tags, ?)", flag)

    def count_matching(self, pattern: str) -> int:
        return self._one("SELECT count(*) FROM event WHERE regexp_matches(content, ?)", pattern)

    def histogram(self, seconds: float, flag: str | None = None) -> Iterable[tuple[float, int]]:
        where = "" if flag is None else "WHERE list_contains(tags, ?)"
        query = f"SELECT floor(ts / ?) * ?, count(*) FROM event {where} GROUP BY 1 ORDER BY 1"
        return self._rows(query, seconds, seconds, *([] if flag is None else [flag]))

    def top(self, start: float = -math.inf, end: float = math.inf) -> Iterable[tuple[str, int]]:
        whole = (start, end) == (-math.inf, math.inf)
        where = "" if whole else "WHERE ts BETWEEN ? AND ?"
        for field in ("unnest(tags)", "source"):
            values = f"SELECT {field} AS value FROM event {where}"
            query = f"SELECT value, count(*) FROM ({values}) GROUP BY 1 ORDER BY 2 DESC, 1"
            yield from self._rows(f"{query} LIMIT {TOP}", *([] if whole else [start, end]))

    def delete(self, event_id: str) -> None:
        with self._lock:
            self._run("DELETE FROM event WHERE id = ?", event_id)

    def finish(self) -> None:
        self._run("CHECKPOINT")

    def close(self) -> None:
        self._db.close()

    def _run(self, statement: str, *values: object) -> None:
        self._db.execute(statement, list(values)).fetchall()

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._db.execute(query, list(values)).fetchall()
        return rows

    def _one(self, query: str, *values: object) -> int:
        number: int = self._rows(query, *values)[0][0]
        return number

    def _events(self, where: str, *values: object) -> Iterable[Event]:
        table = self._db.sql(f"{SELECT} {where}", params=list(values)).to_arrow_table()
        columns = [column.to_pylist() for column in table.columns]
        return map(Event._make, zip(*columns, strict=True))


class DuckDBOneThread(DuckDB):
    """The same database, with one thread."""

    threads = 1


def _limit(limit: int | None) -> str:
    return "" if limit is None else f" LIMIT {limit}"
