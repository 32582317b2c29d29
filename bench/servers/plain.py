"""Plain SQL on PostgreSQL, as one would write it for this work.

A table with the id as its key, an index by time, GIN indexes on the tags and on the trigrams of the
contents, ANALYZE after loading. Batches go through COPY. Rows are read with prepared statements.
It keeps no order of saving, gives no cursors, and a read does not wait for a write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from lmdbstore import Event

__all__ = ["PlainSQL"]

TABLES = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TABLE event (id text PRIMARY KEY, source text NOT NULL, ts float8 NOT NULL,
                    tags text[] NOT NULL, content text NOT NULL);
CREATE INDEX event_ts ON event (ts);
CREATE INDEX event_tags ON event USING gin (tags);
CREATE INDEX event_content ON event USING gin (content gin_trgm_ops);
"""
COLUMNS = "id, source, ts, tags, content"


class PlainSQL:
    """The calls that the rows need."""

    def __init__(self, address: str) -> None:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(TABLES)
        self._pool = ConnectionPool(
            address, min_size=1, max_size=20, open=True, kwargs={"autocommit": True}
        )

    def _rows(self, text: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        with self._pool.connection() as connection:
            return connection.execute(text, list(values)).fetchall()

    def _events(self, rest: str, values: Iterable[Any] = ()) -> list[Event]:
        return [Event(*row) for row in self._rows(f"SELECT {COLUMNS} FROM event {rest}", values)]

    def save(self, event: Event) -> None:
        with self._pool.connection() as connection:
            connection.execute(f"INSERT INTO event ({COLUMNS}) VALUES (%s, %s, %s, %s, %s)", event)

    def save_many(self, events: Iterable[Event]) -> None:
        with self._pool.connection() as connection, connection.transaction():
            copying = connection.cursor().copy(f"COPY event ({COLUMNS}) FROM STDIN")
            with copying as copy:
                for event in events:
                    copy.write_row(event)

    def finish(self) -> None:
        with self._pool.connection() as connection:
            connection.execute("VACUUM ANALYZE event")

    def get(self, event_id: str) -> Event:
        return self._events("WHERE id = %s", [event_id])[0]

    def newest(self, number: int) -> list[Event]:
        return self._events(f"ORDER BY ts DESC LIMIT {number}")

    def between(self, start: float, end: float) -> list[Event]:
        return self._events("WHERE ts >= %s AND ts <= %s ORDER BY ts", [start, end])

    def flagged(self, flags: list[str]) -> list[Event]:
        return self._events("WHERE tags @> %s ORDER BY ts", [flags])

    def counted(self, flags: list[str]) -> int:
        return int(self._rows("SELECT count(*) FROM event WHERE tags @> %s", [flags])[0][0])

    def matching(self, pattern: str) -> list[Event]:
        return self._events("WHERE content ~ %s ORDER BY ts", [pattern])

    def all(self) -> Iterator[Event]:
        with self._pool.connection() as connection, connection.transaction():
            cursor = connection.cursor(name="all")
            cursor.itersize = 4096
            cursor.execute(f"SELECT {COLUMNS} FROM event ORDER BY ts")
            for row in cursor:
                yield Event(*row)

    def close(self) -> None:
        self._pool.close()
