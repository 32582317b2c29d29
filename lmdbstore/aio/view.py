"""The reading side: the methods of `EventView`, each run in a thread.

Rules: arguments and results are those of the contract, and so are the signatures: a method of the
contract becomes one of this class by naming it.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from lmdbstore.contract.api import EventView

from .cancelling import Work, result_of
from .paged import AsyncSearch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from uuid import UUID

    from lmdbstore.contract.event import Event
    from lmdbstore.contract.search import Search
    from lmdbstore.contract.types import Timeout

    from .workers import Workers

__all__ = ["AsyncEventView", "in_thread"]

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")  # a class of the contract


def in_thread(
    method: Callable[Concatenate[V, P], T], work: Work
) -> Callable[Concatenate[AsyncEventView, P], Coroutine[Any, Any, T]]:
    """Return a method that runs the one of the store in a thread."""
    name = getattr(method, "__name__", "")

    @wraps(method)
    async def run(self: AsyncEventView, /, *arguments: P.args, **named: P.kwargs) -> T:
        call: Callable[[], T] = partial(getattr(self._view, name), *arguments, **named)
        return await result_of(self._workers.run(call), work)

    return run


def _search(
    method: Callable[Concatenate[EventView, P], Search],
) -> Callable[Concatenate[AsyncEventView, P], AsyncSearch]:
    """Return a method that makes a search, which begins later in a thread."""
    name = method.__name__

    @wraps(method)
    def search(self: AsyncEventView, /, *arguments: P.args, **named: P.kwargs) -> AsyncSearch:
        begin = partial(getattr(self._view, name), *arguments, **named)
        return AsyncSearch(begin, self._workers.run)

    return search


class AsyncEventView:
    """The reading side of a store, and of one frozen state of it (`AsyncEventStore.snapshot`).

    The methods are those of `EventView`, to be awaited. `len(store)` is `await store.count()`, and
    `id in store` is `await store.get(id, None) is not None`.
    """

    def __init__(self, view: EventView, workers: Workers) -> None:
        """Read from `view`, in these threads."""
        self._view = view
        self._workers = workers

    @overload
    async def get(self, event_id: str | UUID, *, timeout: Timeout = ...) -> Event: ...
    @overload
    async def get(
        self, event_id: str | UUID, default: T, *, timeout: Timeout = ...
    ) -> Event | T: ...
    async def get(self, *arguments: Any, **named: Any) -> object:
        """Return the event with this id, or `default`; see `EventView.get`."""
        work = partial(self._view.get, *arguments, **named)
        return await result_of(self._workers.run(work), Work.READ)

    search = _search(EventView.search)
    around = in_thread(EventView.around, Work.READ)
    count = in_thread(EventView.count, Work.READ)
    explain = in_thread(EventView.explain, Work.READ)
    checkpoint = in_thread(EventView.checkpoint, Work.READ)
    checkpoints = in_thread(EventView.checkpoints, Work.READ)
    flags = in_thread(EventView.flags, Work.READ)
    sources = in_thread(EventView.sources, Work.READ)
    histogram = in_thread(EventView.histogram, Work.READ)
    facets = in_thread(EventView.facets, Work.READ)
    to_arrow = in_thread(EventView.to_arrow, Work.READ)  # the reader itself reads where it is used
    to_pandas = in_thread(EventView.to_pandas, Work.READ)
    to_polars = in_thread(EventView.to_polars, Work.READ)
