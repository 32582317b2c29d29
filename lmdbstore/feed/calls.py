"""How a store on LMDB does what following and named cursors need of it.

Rules: a follower reads without waiting for a write, and so does a cursor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lmdbstore.contract.commits.cursor_calls import CursorCalls

from .commits import CommitFeed, NextCommit, feed_of, present
from .cursors import ChangeCursor, cursor_text, cursor_texts, has_ended, process_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdb import Transaction

    from lmdbstore.contract.commits.follower import Feed
    from lmdbstore.contract.commits.position import Lineage, Present
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.query import Query
    from lmdbstore.disk.databases import Begins, Databases
    from lmdbstore.engine.session import Session
    from lmdbstore.threads.deadline import Deadline

__all__ = ["FeedCalls"]

T = TypeVar("T")


class FeedCalls(CursorCalls):
    """Following, and named cursors."""

    _session: Session
    _path: str
    _begin: Begins

    def _later(
        self, work: Callable[[Transaction[bytes], Databases], T], /, *, views: bool = False
    ) -> T:
        self._check_open()
        return self._session.read(work, views=views)

    def _present(self) -> Present:
        return self._later(present, views=True)

    def _present_after_writes(self, wait: Deadline | None) -> Present:
        return self._begin(present, wait)

    def _feed(self, lineage: Lineage, after: int, until: int | None, query: Query) -> Feed[Event]:
        return CommitFeed(
            feed_of(self._later, after, until, query), lineage, NextCommit(self._path)
        )

    def _cursor_text(self, name: str) -> str | None:
        return self._later(lambda txn, databases: cursor_text(txn, databases, name))

    def _cursor_texts(self, wait: Deadline | None) -> dict[str, str]:
        return self._begin(cursor_texts, wait)

    def _change_cursor(
        self,
        name: str,
        change: Callable[[str | None], str | None],
        wait: Deadline | None = None,
    ) -> None:
        self._session.write(ChangeCursor(name, change), wait)

    def _process(self) -> str:
        return process_name()

    def _has_ended(self, process: str) -> bool:
        return has_ended(process)
