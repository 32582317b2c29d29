"""Following: reading pages as they come, and waiting in between.

Rules: what is new is always found by reading; a wait may end at any time, and never has to know
why. So a wait that ends early costs a look, and no event is missed as long as a wait that begins
after a commit ends for the next one. Nothing is held open while this waits.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

from .paged import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LOOK", "Feed", "Follower", "Polled", "Source"]

LOOK = 0.01  # seconds between two looks, where nothing reports a commit
MOST = 256  # items of a page

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T]):
    """Where pages come from."""

    def next_page(self) -> Page[T, str] | None:
        """Return the next page, which may be empty; None at the end."""

    def end(self) -> None:
        """Let a thread that waits return, and release what is open; there is no more to read."""


class Feed(Source[T], Protocol[T]):
    """A source that may have more later."""

    def wait(self, seconds: float) -> None:
        """Wait until there may be more, at most so long."""


class Follower(Source[T]):
    """A source that waits for what is to come."""

    def __init__(self, feed: Feed[T], limit: float | None) -> None:
        """Read a feed; end when nothing came for `limit` seconds. None: never."""
        self._feed = feed
        self._limit = math.inf if limit is None else limit
        self._since: float | None = None  # when waiting for the next item began
        self._ended = False

    def next_page(self) -> Page[T, str] | None:
        """Return the next page, or None at the end.

        After an interrupt, the next call continues.
        """
        while not self._ended:
            # The feed has advanced when it returns a page, so no call may come in between.
            page = self._feed.next_page()
            if page is not None:
                if page.size:
                    self._since = None
                return page
            now = time.monotonic()
            if self._since is None:
                self._since = now
            left = self._since + self._limit - now
            if left <= 0:
                self.end()
            else:
                self._feed.wait(left)
        return None

    def end(self) -> None:
        """End a wait; there is no more to read."""
        self._ended = True
        self._feed.end()


class _Given(Protocol[T_co]):
    """What `changes` of a store returns."""

    @property
    def position(self) -> str: ...
    def __iter__(self) -> Iterator[T_co]: ...
    def close(self) -> None: ...


class Polled(Feed[T]):
    """The changes of any store, which are asked for again and again."""

    def __init__(self, changes: Callable[[str], _Given[T]], position: str) -> None:
        """Read what `changes` returns for a position."""
        self._changes = changes
        with closing(changes(position)) as found:  # raises InvalidQuery now, and not later
            self.position = found.position

    def next_page(self) -> Page[T, str] | None:
        """Return what is there by now; None: nothing."""
        found = self._changes(self.position)
        events, places = list[T](), list[str]()
        for event in islice(found, MOST):
            events.append(event)
            places.append(found.position)
        reached = found.position
        found.close()
        if not events and reached == self.position:
            return None
        page = Page(events, places.__getitem__, lambda: reached)
        self.position = reached
        return page

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(min(seconds, LOOK))

    def end(self) -> None:
        """Do nothing: nothing is open, and it never sleeps long."""
