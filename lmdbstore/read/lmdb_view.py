"""Every read of LMDB, for a store and for a snapshot.

Rules: a view is given a function that runs work in a read transaction, and does not depend on how
that is done. When `search` is called, one transaction plans the query and takes its watermark; an
`Executor` reads the pages later.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from lmdbstore.contract.checking import checked_id, checked_name, checked_prefix
from lmdbstore.contract.query_view import QueryView
from lmdbstore.contract.search import Search
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import lineage_of, next_local_id, number_of_events
from lmdbstore.errors import EventNotFound, shown
from lmdbstore.records.named import named_in, text_in

from .counts.times import count_times
from .counts.values import count_values
from .executor import Executor
from .one import key_of, located
from .totals import planned, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from lmdb import Transaction

    from lmdbstore.contract.counting.buckets import Buckets, Tally
    from lmdbstore.contract.counting.facets import Values
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.query import Position, Query
    from lmdbstore.contract.types import Timeout
    from lmdbstore.disk.databases import Begins, Databases, Reads
    from lmdbstore.threads.deadline import Deadline

    from .plan import Plan

__all__ = ["LMDBView"]

T = TypeVar("T")
_REQUIRED = object()


class LMDBView(QueryView):
    """A view that answers queries by reading LMDB: a store, or a snapshot of one."""

    def __init__(self, reads: Reads, begin: Begins) -> None:
        """Read with `reads`; `begin` runs the first read of a call, which waits if strict."""
        super().__init__()
        self._reads = reads
        self._begin = begin

    @overload
    def get(self, event_id: str | UUID, *, timeout: Timeout = ...) -> Event: ...
    @overload
    def get(self, event_id: str | UUID, default: T, *, timeout: Timeout = ...) -> Event | T: ...
    def get(
        self, event_id: str | UUID, default: object = _REQUIRED, *, timeout: Timeout = ...
    ) -> object:
        wait = None if timeout is ... else self._deadline(timeout)
        wanted = checked_id(event_id)
        found = self._begin(lambda txn, databases: located(txn, databases, wanted), wait, wanted)
        if found is not None:
            return found[1]
        if default is _REQUIRED:
            raise EventNotFound(f"there is no event with the id {shown(wanted)}")
        return default

    def __contains__(self, event_id: str | UUID) -> bool:
        """Whether there is an event with this id."""
        wanted = checked_id(event_id)
        found = self._begin(lambda txn, databases: located(txn, databases, wanted), None, wanted)
        return found is not None

    def checkpoint(self, name: str, *, timeout: Timeout = ...) -> str | None:
        wait = None if timeout is ... else self._deadline(timeout)
        wanted = checked_name(name)
        return self._begin(lambda txn, databases: _checkpoint(txn, databases, wanted), wait)

    def checkpoints(self, prefix: str = "", *, timeout: Timeout = ...) -> dict[str, str]:
        wait = self._deadline(timeout)
        wanted = checked_prefix(prefix)
        return self._begin(lambda txn, databases: _checkpoints(txn, databases, wanted), wait)

    def __len__(self) -> int:
        """Return the number of events; O(1)."""
        return self._begin(number_of_events)

    def flags(self, *, timeout: Timeout = ...) -> dict[str, int]:
        """Return every flag with its number of events, in one pass over the totals.

        One event is read for each flag whose text is not its own key (longer than 509 bytes of
        UTF-8), and no other. The whole pass sees one state of the store. `timeout` is as
        in `get`.
        """
        return self._begin(totals_of, self._deadline(timeout))

    def sources(self, *, timeout: Timeout = ...) -> dict[str, int]:
        """Return every source with its number of events, in one pass over the totals.

        Events are read as in `flags`. `timeout` is as in `get`.
        """
        return self._begin(partial(totals_of, sources=True), self._deadline(timeout))

    def _tally(self, buckets: Buckets, conditions: dict[str, Any], timeout: Timeout) -> Tally:
        wait = self._deadline(timeout, conditions.get("at"))
        query = self._conditions(conditions, wait)
        return self._begin(partial(count_times, query=query, buckets=buckets), wait, query)

    def _values(
        self, fields: tuple[str, ...], conditions: dict[str, Any], timeout: Timeout
    ) -> Values:
        wait = self._deadline(timeout, conditions.get("at"))
        query = self._conditions(conditions, wait)
        return self._begin(partial(count_values, query=query, fields=fields), wait, query)

    def _locate(self, wait: Deadline | None, event_id: str) -> Position:
        wanted = checked_id(event_id)
        key = self._begin(lambda txn, databases: key_of(txn, databases, wanted), wait, wanted)
        if key is None:
            raise EventNotFound(
                f"after: there is no event with the id {shown(wanted)} to continue after; pass the "
                "token of a search, which stays valid when its event is deleted"
            )
        return fmt.decode_key(key)

    def _number_of(self, wait: Deadline | None, position: object) -> int:
        lineage, watermark = self._begin(
            lambda txn, databases: (lineage_of(txn, databases), next_local_id(txn, databases)), wait
        )
        return lineage.number("at", position, fmt.decode_number(watermark) - 1)

    def _search(self, query: Query, wait: Deadline | None) -> Search:
        plan, watermark = self._planned(query, wait, query)
        executor = Executor(self._read_on, plan, watermark)
        token = None if query.after is None else query.after.token
        search = Search(
            executor.next_page,
            token,
            query,
            lambda: executor.left_out,
            lambda: executor.reached,
        )
        return self._track(search)

    def _count(self, query: Query, wait: Deadline | None) -> int:
        plan, watermark = self._planned(query, wait, query)
        known = plan.known_count
        return Executor(self._read_on, plan, watermark).count() if known is None else known

    def _explain(self, query: Query, wait: Deadline | None) -> str:
        return str(self._planned(query, wait, None)[0])  # it shows numbers of all events

    def _read_on(
        self, work: Callable[[Transaction[bytes], Databases], T], /, *, views: bool = False
    ) -> T:
        """Run a later read of a call. A search keeps its view by this, and ends with it."""
        self._check_open()
        return self._reads(work, views=views)

    def _planned(
        self, query: Query, wait: Deadline | None, concern: Query | None
    ) -> tuple[Plan, bytes]:
        return self._begin(lambda txn, databases: planned(txn, databases, query), wait, concern)


def _checkpoint(txn: Transaction[Any], databases: Databases, name: str) -> str | None:
    """Return the text of a checkpoint, checked; None if there is none with this name."""
    return text_in("checkpoint", name, txn.get(fmt.text_key(name), db=databases.checkpoints))


def _checkpoints(txn: Transaction[Any], databases: Databases, prefix: str) -> dict[str, str]:
    """Return the texts of the checkpoints whose names begin so, by name, in order; all checked."""
    found: dict[str, str] = {}
    begin = fmt.key_prefix(prefix)
    cursor = txn.cursor(databases.checkpoints)
    for item in cursor.iternext() if cursor.set_range(begin) else ():
        key, value = map(bytes, item)
        if not key.startswith(begin):
            break
        named = named_in("checkpoint", key, value)
        if named.name.startswith(prefix):
            found[named.name] = named.text
    return dict(sorted(found.items()))
