"""The connections of one process to a server.

Rules: a connection is in the pool, or used by one thread; it is in autocommit mode and in no
transaction when it comes back. One that failed in the middle of something is closed, and with it
goes every lock that it held in the server. A forked child has a pool of its own: see `store`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from lmdbstore.errors import StoreClosed, StoreOpenError

from .failures import is_broken, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.threads.deadline import Deadline

__all__ = [
    "ATTEMPTS",
    "Connection",
    "Link",
    "Settings",
    "can_be_read",
    "connect",
    "may_be_repeated",
    "tried",
]


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed if something else than Ctrl-C interrupts it.

    psycopg cancels the statement after Ctrl-C. After any other exception of a signal handler it
    would wait for the answer first, perhaps for as long as another writer has the lock.
    """

    def wait(self, *arguments: Any, **named: Any) -> Any:
        """Wait for an answer; see `psycopg.Connection`."""
        try:
            return super().wait(*arguments, **named)
        except (psycopg.Error, KeyboardInterrupt):
            raise
        except BaseException:
            self.pgconn.finish()
            raise


T = TypeVar("T")

ATTEMPTS = 3  # of which the first ones may find connections that broke while they were idle
LEAST = 1.0  # seconds to make a connection, whatever the limit of the call
PATIENCE = 30.0  # seconds; how long a call without a limit waits for a connection


# What a role or a database may have set otherwise, and what is relied on here: each statement sees
# what was committed before it; numbers come back exactly.
SETTINGS = """
SELECT set_config('default_transaction_isolation', 'read committed', false),
       set_config('extra_float_digits', '3', false)
"""


class NoConnection(psycopg.OperationalError):
    """None could be made, or had, in time."""


class Settings:
    """How connections are made."""

    def __init__(self, address: str, *, size: int, statement_timeout: float | None) -> None:
        """Use an address, at most `size` connections, and a limit in seconds for a statement."""
        self.address = address
        self.size = size
        self.statement_timeout = statement_timeout
        self.sharded = False

    def configure(self, connection: Connection) -> None:
        """Prepare a new connection."""
        connection.execute(SETTINGS)
        if self.sharded:
            # A coordinator does not know how many rows a shard has. Pages are to be merged from
            # what the shards have in order, and not sorted from all that they have.
            connection.execute("SET enable_sort = off")
        if self.statement_timeout is not None:
            milliseconds = max(1, round(self.statement_timeout * 1000))
            connection.execute(
                "SELECT set_config('statement_timeout', %s, false)", [str(milliseconds)]
            )


def can_be_read(address: str) -> bool:
    """Whether libpq can read an address; its own error would quote it, with a password."""
    try:
        conninfo_to_dict(address)
    except (psycopg.Error, ValueError):
        return False
    return bool(address.strip())


def connect(address: str) -> Connection:
    """Return a connection that is not of the pool.

    Raises:
        StoreOpenError: the server cannot be reached, or refuses.
    """
    try:
        return Connection.connect(address, autocommit=True, client_encoding="UTF8")
    except psycopg.Error as error:
        raise StoreOpenError(
            f"the server cannot be reached, or refuses the connection: {reason(error)}"
        ) from error


class Link:
    """The pool."""

    def __init__(self, settings: Settings) -> None:
        """Open the pool; connections are made as they are needed."""
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            settings.address,
            connection_class=Connection,
            min_size=0,
            max_size=settings.size,
            open=True,
            kwargs={"autocommit": True, "client_encoding": "UTF8"},
            configure=settings.configure,
            name="lmdbstore",
            max_idle=60.0,
            reconnect_timeout=5.0,
        )

    @contextmanager
    def connection(self, deadline: Deadline | None) -> Iterator[Connection]:
        """Lend a connection.

        Raises:
            StoreClosed: the pool was closed.
            psycopg.OperationalError: none could be made, or had, in time.
        """
        connection = self.take(deadline)
        try:
            yield connection
        except psycopg.Error as error:
            if is_broken(error) or not _freed(connection):
                connection.close()
            raise
        except BaseException:
            connection.close()  # it may hold locks, or be in the middle of a statement
            raise
        finally:
            self._pool.putconn(connection)

    def take(self, deadline: Deadline | None) -> Connection:
        """Lend a connection until `give_back`; raises as `connection` does."""
        left = PATIENCE if deadline is None else min(PATIENCE, deadline.left)
        try:
            return self._pool.getconn(max(left, LEAST))
        except PoolClosed as error:
            raise StoreClosed("the store is closed; open it again") from error
        except PoolTimeout as error:
            raise NoConnection(
                f"no connection within {left:.3g} s: the server does not answer, or all "
                "connections of this store are in use (pool_size)"
            ) from error

    def give_back(self, connection: Connection) -> None:
        """Take back a connection, without the locks that it holds."""
        if not _freed(connection):
            connection.close()
        self._pool.putconn(connection)

    def check(self) -> None:
        """Replace the connections that broke while they were idle."""
        self._pool.check()

    def close(self) -> None:
        """Close the connections; one that is in use is closed when it comes back."""
        self._pool.close(timeout=LEAST)


def may_be_repeated(error: psycopg.Error) -> bool:
    """Whether a connection was found broken, and another one may not be."""
    return is_broken(error) and not isinstance(error, NoConnection)


def tried(link: Callable[[], Link], use: Callable[[Link], T]) -> T:
    """Use a connection; use another one if it is found broken, a few times.

    `use` leaves nothing half done when it raises an error of psycopg.
    """
    for left in reversed(range(ATTEMPTS)):
        found = link()
        try:
            return use(found)
        except psycopg.Error as error:
            if not left or not may_be_repeated(error):
                raise
            found.check()
    raise AssertionError  # the last attempt returns or raises


def _freed(connection: Connection) -> bool:
    """End what a connection is in the middle of, and give back its locks; False: it cannot."""
    try:
        connection.rollback()
        connection.execute("RESET lock_timeout")
        connection.execute("SELECT pg_advisory_unlock_all()")
    except psycopg.Error:
        return False
    return True
