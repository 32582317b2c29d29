"""A writer on another machine: the steps of a write, one by one, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import psycopg

from lmdbstore.sql.server.names import WRITING, Names

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["OtherWriter"]


class OtherWriter:
    """A connection that does what a writer does."""

    def __init__(self, address: str, schema: str) -> None:
        self.names, self.address = Names(schema), address
        self.connection = psycopg.connect(address, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def lock(self) -> None:
        """Take the lock of the store."""
        self.connection.execute(f"SELECT pg_advisory_lock({self.names.lock(WRITING)})")

    def unlock(self) -> None:
        self.connection.execute(f"SELECT pg_advisory_unlock({self.names.lock(WRITING)})")

    def one(self, statement: str) -> Any:
        row = self.connection.execute(statement).fetchone()
        assert row is not None
        return row[0]

    def head(self) -> int:
        return int(self.one(f"SELECT head FROM {self.names.store}"))

    def reserve(self, number: int) -> int:
        """Reserve numbers; return the last one."""
        last = self.head() + number
        self.connection.execute(f"UPDATE {self.names.store} SET reserved = %s", [last])
        return last

    def insert(self, ids: Iterable[str], first: int, connection: Any = None) -> None:
        """Insert events, without publishing them."""
        for number, name in enumerate(ids, first):
            (connection or self.connection).execute(
                f"INSERT INTO {self.names.events} (id, seq, ts, source, flags, content) "
                "VALUES (%s, %s, 1, '', '{}', '')",
                [name, number],
            )

    def mark(self, name: str, number: int) -> None:
        """Delete an event, without publishing that."""
        self.connection.execute(
            f"UPDATE {self.names.events} SET died = %s WHERE id = %s AND died IS NULL",
            [number, name],
        )

    def publish(self, head: int) -> None:
        self.connection.execute(f"UPDATE {self.names.store} SET head = %s, saved = %s", [head] * 2)

    def waiting(self) -> int:
        """Return how many others wait for an advisory lock."""
        return int(
            self.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        )
