"""The contract, continued: the figures of a store."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lmdbstore.contract.commits.api import EventFeed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lmdbstore.contract.counting.api import Searched
    from lmdbstore.contract.types import Timeout

__all__ = ["YEAR_5000", "EventFigures", "Figures"]

YEAR_5000 = 95_617_584_000.0  # seconds; what is later is mostly in milliseconds


class Figures(Protocol):
    """What every store knows of itself."""

    @property
    def events(self) -> int:
        """How many events there are."""

    @property
    def oldest(self) -> float | None:
        """The timestamp of the oldest event, in seconds; None in an empty store."""

    @property
    def newest(self) -> float | None:
        """The timestamp of the newest event, in seconds; None in an empty store."""

    @property
    def flags(self) -> int:
        """How many different flags there are."""

    @property
    def beyond_year_5000(self) -> int:
        """How many events are so late: their timestamps are mostly milliseconds."""


class _Figures(NamedTuple):
    events: int
    oldest: float | None
    newest: float | None
    flags: int
    beyond_year_5000: int


class EventFigures(EventFeed):
    """The figures of a store."""

    @abstractmethod
    def _one_state(self, timeout: Timeout) -> AbstractContextManager[Searched]:
        """Return a view of one state."""

    def stats(self, *, timeout: Timeout = ...) -> Figures:
        """Return how much the store holds, in one state: `Figures`, and what else it knows.

        It is a read like `get`, and raises what `search` raises; `timeout` is as in `get`.
        """
        with self._one_state(timeout) as state:
            view: Any = state
            first = next(view.search(limit=1), None)
            last = next(view.search(limit=1, order="desc"), None)
            return _Figures(
                int(view.count()),
                None if first is None else first.timestamp,
                None if last is None else last.timestamp,
                len(view.flags()),
                int(view.count(ts_start=YEAR_5000)),
            )
