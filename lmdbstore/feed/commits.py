"""The feed of a store that others write to: its pages, and waiting for the next commit.

Rules: LMDB writes its file twice for a commit, and a reader sees the commit some time after the
last write, when the writer has published it. So a notice of a write may come too early, and no
other one comes then: after each notice this looks again and again, at growing intervals. A writer
that is delayed between its last write and the publication makes a follower no later than twice that
time. Where there are no notices, it looks every `LOOK` seconds.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lmdbstore.contract.commits.follower import LOOK, Feed
from lmdbstore.contract.commits.paged import Page
from lmdbstore.contract.commits.position import Present
from lmdbstore.contract.query import Query
from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import lineage_of, next_local_id
from lmdbstore.disk.folder import DATA_FILE
from lmdbstore.threads.notices import Notices
from lmdbstore.threads.re2_gate import run_engine

from . import pages

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.contract.commits.position import Lineage
    from lmdbstore.contract.event import Event
    from lmdbstore.disk.databases import Databases, Reads

__all__ = ["CommitFeed", "NextCommit", "feed_of", "present"]

# Seconds between two looks after a notice; also for changes of which there is no notice.
FIRST, LONGEST, GROWTH = 0.001, 1.0, 2


class NextCommit:
    """Waits until the store in a folder may have one more commit; for one thread at a time."""

    def __init__(self, folder: str) -> None:
        """Wait for writes to the data file in `folder`."""
        self._folder = folder
        self._notices: list[tuple[int, Notices | None]] = []  # one, with its process; made late
        self._pause = FIRST
        self._waiter = 0  # the process of the thread that waits; a forked child inherits the note
        self._ended = False

    def wait(self, seconds: float) -> None:
        """Wait at most so long; it may end at any time, and after `end` it does at once."""
        self._waiter = os.getpid()  # first: `end` then leaves the notices to this
        try:
            if not self._ended:
                self._wait(seconds)
        finally:
            self._waiter = 0
            if self._ended:
                self.close()

    def _wait(self, seconds: float) -> None:
        if not self._notices or self._notices[0][0] != os.getpid():
            self._watch()
            return  # what was committed before is not noticed
        notices = self._notices[0][1]
        if notices is None:
            time.sleep(min(seconds, LOOK))
        elif notices.wait(min(seconds, self._pause), DATA_FILE.__eq__):
            self._pause = FIRST
        else:
            self._pause = min(self._pause * GROWTH, LONGEST)

    def _watch(self) -> None:
        self.close()  # after a fork: the parent keeps its own
        notices = Notices.make()
        if notices is not None and not notices.watch([self._folder]):
            notices.close()
            notices = None
        self._notices.append((os.getpid(), notices))

    def end(self) -> None:
        """Let a wait of another thread return, and release the notices."""
        self._ended = True
        if self._waiter != os.getpid():
            self.close()  # in a child, it leaves the parent its own
        for _, notices in self._notices:
            if notices is not None:
                notices.stop()

    def close(self) -> None:
        """Release the notices."""
        while self._notices:
            with suppress(IndexError):  # another thread has taken them
                _, notices = self._notices.pop()
                if notices is not None:
                    notices.close()

    def __del__(self) -> None:
        self.close()


def present(txn: Transaction[Any], databases: Databases) -> Present:
    """Return where the store is; raises StoreDamaged."""
    following = fmt.decode_number(next_local_id(txn, databases))
    return Present(lineage_of(txn, databases), following - 1)


def feed_of(reads: Reads, after: int, until: int | None, query: Query) -> pages.Feed:
    """Return the events that a query admits, after one number and up to another one."""
    high = fmt.LOCAL_IDS if until is None else until + 1

    def chosen(events: list[Event]) -> list[bool]:
        if query.pattern is None:
            return _admitted(query, events)
        return run_engine(_admitted, query, events)

    return pages.Feed(reads, after + 1, high, None if query == _ALL else chosen)


def _admitted(query: Query, events: list[Event]) -> list[bool]:
    return list(map(query.admits, events))


_ALL = Query()


class CommitFeed(Feed["Event"]):
    """The events of a store, and of every later commit, with their positions."""

    def __init__(self, feed: pages.Feed, lineage: Lineage, next_commit: NextCommit) -> None:
        """Read `feed`, of a store of this lineage."""
        self._feed = feed
        self._lineage = lineage
        self._next_commit = next_commit

    def next_page(self) -> Page[Event, str] | None:
        """Return the next page, or None if nothing more is committed.

        After an interrupt, the next call reads the same page again.
        """
        before = self._feed.place
        try:
            found = self._feed.next_page()
            return None if found is None else _page(found, self._lineage)
        except BaseException:
            self._feed.place = before
            raise

    def wait(self, seconds: float) -> None:
        """Wait for the next commit, at most so long."""
        self._next_commit.wait(seconds)

    def end(self) -> None:
        """Let a thread that waits return."""
        self._next_commit.end()


def _page(found: pages.FeedPage, lineage: Lineage) -> Page[Event, str]:
    local_ids, reached = found.local_ids, found.reached
    return Page(
        found.events,
        lambda n: lineage.position(local_ids[n]),
        lambda: lineage.position(reached),
    )
