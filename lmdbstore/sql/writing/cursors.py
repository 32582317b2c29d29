"""The states of named cursors in the server; each change is a transaction of its own.

Rules: a change holds a lock of its cursor, and not that of the store: workers do not delay writers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from lmdbstore.sql.server.failures import failed_read, failed_write, only_row
from lmdbstore.sql.server.link import limit_locks, tried
from lmdbstore.sql.server.migrations import check_version
from lmdbstore.sql.server.names import MIGRATING
from lmdbstore.sql.texts import key, original, stored

from .confirmed import confirmed

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.sql.server.link import Connection, Link
    from lmdbstore.sql.server.names import Names
    from lmdbstore.threads.deadline import Deadline

__all__ = ["CursorTexts"]

CURSOR = 0x6C6D6464  # the class of the advisory locks; the second key is that of the name


class CursorTexts:
    """Texts by name."""

    def __init__(self, link: Callable[[], Link], names: Names) -> None:
        """Keep them through `link()`."""
        self._link, self._names = link, names

    def text(self, name: str) -> str | None:
        """Return the text of a cursor; None: there is none."""
        return self._rows("WHERE key = %s", [key(name)], None).get(name)

    def texts(self, deadline: Deadline) -> dict[str, str]:
        """Return all, by name, in order."""
        return dict(sorted(self._rows("", [], deadline).items()))

    def _rows(self, where: str, values: list[str], deadline: Deadline | None) -> dict[str, str]:
        statement = f"SELECT name, body FROM {self._names.cursors} {where}"

        def read(link: Link) -> list[tuple[str, str]]:
            with link.connection(deadline) as connection:
                return connection.execute(statement, values).fetchall()

        try:
            rows = tried(self._link, read)
        except psycopg.Error as error:
            raise failed_read(error, deadline) from error
        return {original(name): original(body) for name, body in rows}

    def change(
        self, name: str, change: Callable[[str | None], str | None], deadline: Deadline
    ) -> None:
        """Put what `change` returns in the place of a text; None: there is none any more."""

        def put(link: Link) -> None:
            with link.connection(deadline) as connection:
                connection.execute("BEGIN")
                self._locked(connection, name, change, deadline)
                with confirmed(connection):
                    connection.execute("COMMIT")

        try:
            tried(self._link, put)
        except psycopg.Error as error:
            raise failed_write(error, deadline) from error

    def _locked(
        self,
        connection: Connection,
        name: str,
        change: Callable[[str | None], str | None],
        deadline: Deadline,
    ) -> None:
        cursors, key_ = self._names.cursors, key(name)
        limit_locks(connection, deadline, local=True)
        connection.execute(
            f"SELECT pg_advisory_xact_lock_shared({self._names.lock(MIGRATING)}), "
            "pg_advisory_xact_lock(%s, hashtext(%s))",
            [CURSOR, f"{self._names.plain} {key_}"],
        )
        found = connection.execute(
            f"SELECT version, sharded, (SELECT body FROM {cursors} WHERE key = %s) "
            f"FROM {self._names.store}",
            [key_],
        )
        version, sharded, body = only_row(found)
        check_version(self._names, version, sharded=sharded)
        text = change(None if body is None else original(body))
        if text is None:
            connection.execute(f"DELETE FROM {cursors} WHERE key = %s", [key_])
        else:
            connection.execute(
                f"INSERT INTO {cursors} (key, name, body) VALUES (%s, %s, %s) "
                "ON CONFLICT (key) DO UPDATE SET body = excluded.body",
                [key_, stored(name), stored(text)],
            )
