"""The connections of one process to a server.

Rules: a connection is in the pool, or used by one thread; it is in autocommit mode and in no
transaction when it comes back. One that failed in the middle of something is closed, and with it
goes every lock that it held in the server. A forked child has a pool of its own: see `store`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from math import inf
from threading import get_ident
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from lmdbstore.errors import InvalidOption, StoreClosed, StoreOpenError
from lmdbstore.sql.uri import server_in

from .failures import AllInUse, NoConnection, is_broken, only_row, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from lmdbstore.threads.deadline import Deadline

__all__ = [
    "ATTEMPTS",
    "Connection",
    "Link",
    "Settings",
    "checked_address",
    "checked_addresses",
    "connect",
    "limit_locks",
    "may_be_repeated",
    "milliseconds",
    "tried",
]


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed if something else than Ctrl-C interrupts it.

    psycopg cancels the statement after Ctrl-C. After any other exception of a signal handler it
    would wait for the answer first, perhaps for as long as another writer has the lock. So it would
    after any exception, Ctrl-C too, that comes between two statements of a pipeline.
    """

    @classmethod
    def connect(cls, *arguments: Any, failures: Any = None, **named: Any) -> Self:
        """Connect; see `psycopg.Connection`. The error of psycopg would keep the password.

        Why it failed is put into `failures`, a deque: the pool would tell it only to its log.
        """
        try:
            return super().connect(*arguments, **named)
        except psycopg.Error as error:
            failed = type(error)(*error.args)
        if failures is not None:
            failures.append(reason(failed))
        raise failed  # out there, so that it has no context

    def wait(self, *arguments: Any, **named: Any) -> Any:
        """Wait for an answer; see `psycopg.Connection`."""
        try:
            return super().wait(*arguments, **named)
        except (psycopg.Error, KeyboardInterrupt):
            raise
        except BaseException:
            self.pgconn.finish()
            raise

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """Send statements without waiting for answers; see `psycopg.Connection`."""
        struck = None
        try:
            with super().pipeline() as pipeline:
                try:
                    yield pipeline
                except psycopg.Error:
                    raise
                except BaseException as error:  # noqa: BLE001  it is raised at the end
                    struck = error
                    self._end_now()
        except psycopg.Error:
            if struck is None:
                raise
        if struck is not None:
            raise struck

    def _end_now(self) -> None:
        """Close it, and cancel in the server what it is in the middle of."""
        try:
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=LEAST)
        finally:
            self.pgconn.finish()


T = TypeVar("T")

ATTEMPTS = 3  # of which the first ones may find connections that broke while they were idle
LOOK = 0.005  # seconds between two looks whether calls have ended
LEAST = 1.0  # seconds to make a connection, whatever the limit of the call
PATIENCE = 30.0  # seconds; how long a call waits for a connection to be made


# What a role or a database may have set otherwise, and what is relied on here: each statement sees
# what was committed before it; numbers come back exactly; a commit that is not confirmed is told;
# waits for locks have the limits of calls; and a client that is gone is noticed in two minutes.
SETTINGS = """
SELECT set_config('default_transaction_isolation', 'read committed', false),
       set_config('extra_float_digits', '3', false),
       set_config('client_min_messages', 'warning', false),
       set_config('lock_timeout', '0', false),
       set_config('idle_in_transaction_session_timeout', '0', false),
       set_config('tcp_keepalives_idle', '60', false),
       set_config('tcp_keepalives_interval', '15', false),
       set_config('tcp_keepalives_count', '4', false),
       set_config('tcp_user_timeout', '120000', false),
       pg_is_in_recovery()
"""
MOST_MILLISECONDS = (1 << 31) - 1
OPTIONS: dict[str, Any] = {"autocommit": True, "client_encoding": "UTF8"}
# So a server that cannot be reached any more is noticed in two minutes, while its answer is waited
# for and while something is sent to it.
NOTICED = {
    "keepalives_idle": 60,  # seconds
    "keepalives_interval": 15,
    "keepalives_count": 4,
    "tcp_user_timeout": 120_000,  # milliseconds
}


def options(address: str) -> dict[str, Any]:
    """Return how a connection is made, where the address does not say it."""
    given = conninfo_to_dict(address)
    return OPTIONS | {name: value for name, value in NOTICED.items() if name not in given}


def milliseconds(seconds: float) -> str:
    """Return a limit as the server takes it; 0 would be none."""
    return str(max(1, int(min(seconds * 1000, MOST_MILLISECONDS))))


def limit_locks(connection: Connection, deadline: Deadline | None, *, local: bool) -> None:
    """Let waits for locks end at a deadline; `local`: to the end of the transaction."""
    limited = deadline is not None and deadline.limit is not None
    limit = milliseconds(deadline.left) if limited and deadline is not None else "0"
    connection.execute("SELECT set_config('lock_timeout', %s, %s)", [limit, local])


class Settings:
    """How connections are made."""

    def __init__(self, address: str, *, size: int, statement_timeout: float | None) -> None:
        """Use an address, at most `size` connections, and a limit in seconds for a statement."""
        self.address = address
        self.size = size
        self.statement_timeout = statement_timeout
        self.sharded = False
        self.standby = False  # whether it may be one
        self.failures: deque[str] = deque(maxlen=1)  # why the last one was not made

    def configure(self, connection: Connection) -> None:
        """Prepare a new connection; refuse one to a standby that has taken the primary's place."""
        try:
            self._prepare(connection)
            self.failures.clear()
        except BaseException as error:
            connection.close()  # the pool would leave it open
            self.failures.append(reason(error))
            raise

    def _prepare(self, connection: Connection) -> None:
        *_, standby = only_row(connection.execute(SETTINGS))
        if standby and not self.standby:
            raise NoConnection("it is a standby, and the store was opened on a primary")
        if self.sharded:
            # A coordinator does not know how many rows a shard has. Pages are to be merged from
            # what the shards have in order, and not sorted from all that they have. A sort that
            # cannot be avoided then seems so expensive that the server would compile the query.
            connection.execute("SET enable_sort = off")
            connection.execute("SET jit = off")
        if self.statement_timeout is not None:
            limit = milliseconds(self.statement_timeout)
            connection.execute("SELECT set_config('statement_timeout', %s, false)", [limit])


def checked_address(address: object) -> str:
    """Return an address that libpq can read, and takes as it is meant.

    Its own error for what it cannot read would quote it, with a password.

    Raises:
        InvalidOption: it is none.
    """
    if isinstance(address, str) and _can_be_read(str.__str__(address)):
        return str.__str__(address)
    raise InvalidOption(
        "address: it is not an address of PostgreSQL; pass 'postgresql://host/database', and in "
        "percent encoding what is special in a name or a password, such as %40 for @"
    )


def checked_addresses(name: str, addresses: object) -> list[str]:
    """Return the addresses in an argument; raises InvalidOption."""
    if isinstance(addresses, str) or not isinstance(addresses, Iterable):
        raise InvalidOption(f"{name}: it is no list of addresses; pass one, of text")
    found = list(addresses)
    if not found:
        raise InvalidOption(f"{name}: there are none; pass the address of each")
    for number, each in enumerate(found):
        try:
            checked_address(each)
        except InvalidOption as error:
            raise InvalidOption(f"{name}: number {number}: {error}") from None
    return found


def _can_be_read(address: str) -> bool:
    if address.startswith(("postgresql://", "postgres://")) and server_in(address) is None:
        return False
    try:
        conninfo_to_dict(address)
    except (psycopg.Error, ValueError):
        return False
    return bool(address.strip())


def connect(address: str) -> Connection:
    """Return a connection that is not of the pool.

    Raises:
        InvalidOption: it is no address.
        StoreOpenError: the server cannot be reached, or refuses.
    """
    try:
        connection = Connection.connect(checked_address(address), **options(address))
        connection.execute(SETTINGS)
        return connection
    except psycopg.Error as error:
        raise StoreOpenError(
            f"the server cannot be reached, or refuses the connection: {reason(error)}"
        ) from error


class Link:
    """The pool."""

    def __init__(self, settings: Settings) -> None:
        """Open the pool; connections are made as they are needed."""
        self._size = settings.size
        self._lent: dict[Connection, int] = {}  # with the threads that use them
        self._left: deque[Connection] = deque()  # of snapshots that were dropped
        self._failures = settings.failures
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            settings.address,
            connection_class=Connection,
            min_size=0,
            max_size=settings.size,
            open=True,
            kwargs=options(settings.address) | {"failures": settings.failures},
            configure=settings.configure,
            name="lmdbstore",
            max_idle=60.0,
            reconnect_timeout=5.0,
        )

    @contextmanager
    def connection(self, deadline: Deadline | None) -> Iterator[Connection]:
        """Lend a connection for the work of one call.

        Raises:
            StoreClosed: the pool was closed.
            NoConnection: none could be made, or had, in time.
        """
        connection = self.take(deadline)
        self._lent[connection] = get_ident()
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
            self._lent.pop(connection, None)
            self._pool.putconn(connection)

    def take(self, deadline: Deadline | None) -> Connection:
        """Lend a connection until `give_back`; raises as `connection` does."""
        self._take_back()
        begin = monotonic()
        while True:
            limit = inf if deadline is None else deadline.left
            try:
                return self._pool.getconn(max(LEAST, min(PATIENCE, limit)))
            except PoolClosed as error:
                raise StoreClosed("the store is closed; open it again") from error
            except PoolTimeout as error:
                waited = monotonic() - begin
                full = self._pool.get_stats().get("pool_size", 0) >= self._size
                if not full:
                    why = "".join(f"; the last failure: {failure}" for failure in self._failures)
                    raise NoConnection(
                        f"no connection could be made in {waited:.3g} s{why}"
                    ) from error
                if deadline is not None and not deadline.left:
                    raise AllInUse(
                        f"all {self._size} connections of this store (pool_size) were in use for "
                        f"{waited:.3g} s"
                    ) from error

    def give_back(self, connection: Connection) -> None:
        """Take back a connection, without the locks that it holds."""
        if not _freed(connection):
            connection.close()
        self._pool.putconn(connection)

    def leave(self, connection: Connection) -> None:
        """Take back a connection at the next `take`; it may be called at any moment."""
        self._left.append(connection)

    def check(self) -> None:
        """Replace the connections that broke while they were idle."""
        self._pool.check()

    def wait_for_calls(self, deadline: Deadline) -> bool:
        """Wait until no other thread is in a call; return False if one is at the deadline."""
        own = get_ident()
        while any(thread != own for thread in list(self._lent.values())):
            if not deadline.left:
                return False
            sleep(LOOK)
        return True

    def close(self) -> None:
        """Close the connections; one that is in use is closed when it comes back."""
        self._take_back()
        self._pool.close(timeout=LEAST)

    def _take_back(self) -> None:
        while self._left:
            with suppress(IndexError):  # another thread has taken it
                self.give_back(self._left.pop())


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
        connection.execute(
            "SELECT set_config('lock_timeout', '0', false), pg_advisory_unlock_all()"
        )
    except psycopg.Error:
        return False
    return True
