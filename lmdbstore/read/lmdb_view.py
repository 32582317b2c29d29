"""Every read of LMDB, for a store and for a snapshot.

Rules: a view is given a function that runs work in a read transaction, and does not depend on how
that is done. When `search` is called, one transaction plans the query and takes its watermark; an
`Executor` reads the pages later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, overload

from lmdbstore.contract.checking import checked_id
from lmdbstore.contract.query_view import QueryView
from lmdbstore.contract.search import Search
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import next_local_id
from lmdbstore.errors import EventNotFound, StoreDamaged, shown

from .executor import Executor
from .plan import Plan, make_plan
from .postings import number

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.query import Position, Query
    from lmdbstore.contract.types import Timeout
    from lmdbstore.disk.databases import Begins, Databases, Reads
    from lmdbstore.threads.deadline import Deadline

__all__ = ["LMDBView"]

T = TypeVar("T")
_REQUIRED = object()


class LMDBView(QueryView):
    """A view that answers queries by reading LMDB: a store, or a snapshot of one."""

    def __init__(self, reads: Reads, begin: Begins, *, signatures: bool) -> None:
        """Read with `reads`; `begin` runs the first read of a call, and waits if reads are strict.

        `signatures` says whether searches use the signatures of runs.
        """
        super().__init__()
        self._reads = reads
        self._begin = begin
        self._signatures = signatures

    @overload
    def get(self, event_id: str | UUID, *, timeout: Timeout = ...) -> Event: ...
    @overload
    def get(self, event_id: str | UUID, default: T, *, timeout: Timeout = ...) -> Event | T: ...
    def get(
        self, event_id: str | UUID, default: object = _REQUIRED, *, timeout: Timeout = ...
    ) -> object:
        # Two lookups, in one transaction.
        wait = None if timeout is ... else self._deadline(timeout)
        wanted = checked_id(event_id)
        found = self._begin(lambda txn, databases: _found(txn, databases, wanted), wait, wanted)
        if found is not None:
            return fmt.decode_found(*found, wanted)
        if default is _REQUIRED:
            raise EventNotFound(f"there is no event with the id {shown(wanted)}")
        return default

    def __contains__(self, event_id: str | UUID) -> bool:
        """Whether there is an event with this id; one lookup."""
        wanted = checked_id(event_id)
        found = self._begin(lambda txn, databases: _key(txn, databases, wanted), None, wanted)
        return found is not None

    def __len__(self) -> int:
        """Return the number of events; O(1)."""
        return self._begin(_events)

    def flags(self, *, timeout: Timeout = ...) -> dict[str, int]:
        """Return every flag with its number of events, in one pass over the posting sets.

        One event is read for each flag whose text is not its own key (empty, or longer than 510
        bytes of UTF-8), and no other. The whole pass sees one state of the store. `timeout` is as
        in `get`.
        """
        return self._begin(_flags, self._deadline(timeout))

    def _locate(self, wait: Deadline | None, event_id: str) -> Position:
        wanted = checked_id(event_id)
        key = self._begin(lambda txn, databases: _key(txn, databases, wanted), wait, wanted)
        if key is None:
            raise EventNotFound(
                f"after: there is no event with the id {shown(wanted)} to continue after; pass the "
                "token of a search, which stays valid when its event is deleted"
            )
        return fmt.decode_key(key)

    def _search(self, query: Query, wait: Deadline | None) -> Search:
        plan, watermark = self._planned(query, wait, query)
        executor = Executor(self._read_on, plan, watermark)
        token = None if query.after is None else query.after.token
        return self._track(Search(executor.next_page, token, query))

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
        events, postings, runs, watermark = self._begin(
            lambda txn, databases: _numbers(txn, databases, query), wait, concern
        )
        return make_plan(query, events, postings, runs=runs * self._signatures), watermark


# No event has the empty id; its key would be the key of the empty flag.


def _key(txn: Transaction[bytes], databases: Databases, event_id: str) -> bytes | None:
    entry = txn.get(fmt.text_key(event_id), db=databases.ids) if event_id else None
    return None if entry is None else fmt.key_in(entry)


def _found(
    txn: Transaction[bytes], databases: Databases, event_id: str
) -> tuple[bytes, bytes] | None:
    """Return the entry of an event in `ids`, and its record."""
    entry = txn.get(fmt.text_key(event_id), db=databases.ids) if event_id else None
    if entry is None:
        return None
    record = txn.get(fmt.key_in(entry), db=databases.timeline)
    if record is None:
        raise StoreDamaged(f"the id {shown(event_id)} is in an index, but its event is not")
    return entry, record


def _events(txn: Transaction[bytes], databases: Databases) -> int:
    return txn.stat(databases.timeline)["entries"]


def _numbers(
    txn: Transaction[bytes], databases: Databases, query: Query
) -> tuple[int, dict[str, int], int, bytes]:
    """Return the numbers that the planner needs, and the next local id."""
    watermark = next_local_id(txn, databases)
    events = _events(txn, databases)
    runs = 0 if query.pattern is None else txn.stat(databases.signatures)["entries"]
    if not query.flags:
        return events, {}, runs, watermark
    with txn.cursor(db=databases.flags) as cursor:
        postings = {flag: number(cursor, fmt.text_key(flag)) for flag in query.flags}
    return events, postings, runs, watermark


def _flags(txn: Transaction[bytes], databases: Databases) -> dict[str, int]:
    numbers: dict[str, int] = {}
    with txn.cursor(db=databases.flags) as cursor:
        for key in cursor.iternext_nodup(keys=True, values=False):
            name = fmt.flag_name(key, lambda: txn.get(cursor.value(), db=databases.timeline))
            numbers[name] = cursor.count()
    return dict(sorted(numbers.items()))
