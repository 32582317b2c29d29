"""The answers to all that can be asked of LMDB: by a store, and by a snapshot alike.

Rules: a view is given the way to run a piece of work in a read transaction, and knows nothing of
how that comes about. A query is planned and its watermark taken in one transaction, when `search`
is called; the pages are read later, by an `Executor`.
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
    from uuid import UUID

    from lmdb import Transaction

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.query import Position, Query
    from lmdbstore.disk.databases import Databases, Reads

__all__ = ["LMDBView"]

T = TypeVar("T")
_REQUIRED = object()


class LMDBView(QueryView):
    """A view that answers queries by reading LMDB: a store, or a snapshot of one."""

    def __init__(self, reads: Reads, begin: Reads, *, signatures: bool) -> None:
        """Read by `reads`, and the first of a call by `begin`, which waits where reads are strict.

        `signatures` says whether searches use the signatures of runs.
        """
        super().__init__()
        self._reads = reads
        self._begin = begin
        self._signatures = signatures

    @overload
    def get(self, event_id: str | UUID) -> Event: ...
    @overload
    def get(self, event_id: str | UUID, default: T) -> Event | T: ...
    def get(self, event_id: str | UUID, default: object = _REQUIRED) -> object:
        # Two lookups, in one transaction.
        wanted = checked_id(event_id)
        found = self._begin(lambda txn, databases: _found(txn, databases, wanted))
        if found is not None:
            return fmt.decode_found(*found, wanted)
        if default is _REQUIRED:
            raise EventNotFound(f"there is no event with the id {shown(wanted)}")
        return default

    def __contains__(self, event_id: str | UUID) -> bool:
        """Whether there is an event with this id; one lookup."""
        wanted = checked_id(event_id)
        return self._begin(lambda txn, databases: _key(txn, databases, wanted)) is not None

    def __len__(self) -> int:
        """Return the number of events; O(1)."""
        return self._begin(_events)

    def flags(self) -> dict[str, int]:
        """Return every flag with its number of events, in one pass over the posting sets.

        No event is read, but one for each flag whose text is not its own key (empty, or longer
        than 510 bytes of UTF-8). The whole pass sees one state of the store.
        """
        return self._begin(_flags)

    def _locate(self, event_id: str) -> Position:
        wanted = checked_id(event_id)
        key = self._begin(lambda txn, databases: _key(txn, databases, wanted))
        if key is None:
            raise EventNotFound(
                f"after: there is no event with the id {shown(wanted)} to continue behind; the "
                "token of a search stays good when its event is deleted"
            )
        return fmt.decode_key(key)

    def _search(self, query: Query) -> Search:
        plan, watermark = self._planned(query)
        executor = Executor(self._reads, plan, watermark)
        token = None if query.after is None else query.after.token
        return self._track(Search(executor.next_page, token, query))

    def _count(self, query: Query) -> int:
        plan, watermark = self._planned(query)
        known = plan.known_count
        return Executor(self._reads, plan, watermark).count() if known is None else known

    def _explain(self, query: Query) -> str:
        return str(self._planned(query)[0])

    def _planned(self, query: Query) -> tuple[Plan, bytes]:
        events, postings, runs, watermark = self._begin(
            lambda txn, databases: _numbers(txn, databases, query)
        )
        return make_plan(query, events, postings, runs=runs * self._signatures), watermark


# The empty id is no event's; its key would be that of the empty flag.


def _key(txn: Transaction[bytes], databases: Databases, event_id: str) -> bytes | None:
    entry = txn.get(fmt.text_key(event_id), db=databases.ids) if event_id else None
    return None if entry is None else fmt.key_in(entry)


def _found(
    txn: Transaction[bytes], databases: Databases, event_id: str
) -> tuple[bytes, bytes] | None:
    """Return what `ids` has of an event, and its record."""
    entry = txn.get(fmt.text_key(event_id), db=databases.ids) if event_id else None
    if entry is None:
        return None
    record = txn.get(fmt.key_in(entry), db=databases.timeline)
    if record is None:
        raise StoreDamaged(f"the id {shown(event_id)} stands in an index, but not its event")
    return entry, record


def _events(txn: Transaction[bytes], databases: Databases) -> int:
    return txn.stat(databases.timeline)["entries"]


def _numbers(
    txn: Transaction[bytes], databases: Databases, query: Query
) -> tuple[int, dict[str, int], int, bytes]:
    """Return what the planner wants to know of the store, and its next local id."""
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
