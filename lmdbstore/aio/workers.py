"""The threads in which a store works.

Rules: calls that take turns in one thread keep their order; the others run in a few threads at
once. Threads begin with the first call of a process: a forked child has those that it begins.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from lmdbstore.errors import InvalidOption, shown

from .outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Workers"]

T = TypeVar("T")


class Workers:
    """Runs functions in threads."""

    def __init__(self, threads: int) -> None:
        """Use this number of threads, and one more for calls that take turns."""
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InvalidOption(
                f"threads: {shown(threads)} is no number of threads; pass 1 or more"
            )
        self._threads = threads
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._pool = ThreadPoolExecutor(self._threads, "lmdbstore.aio")
        self._one = ThreadPoolExecutor(1, "lmdbstore.aio.save")

    def run(self, work: Callable[[], T]) -> Outcome[T]:
        """Run a function in one of the threads."""
        return self._submit("_pool", work)

    def take_turns(self, work: Callable[[], T]) -> Outcome[T]:
        """Run a function in the one thread, after those that were given before."""
        return self._submit("_one", work)

    def run_apart(self, work: Callable[[], T]) -> Outcome[T]:
        """Run a function in a thread of its own, whatever the others wait for.

        It may wait for ever: the end of the program does not wait for it.
        """
        outcome = Outcome[T]()
        run = partial(outcome.fulfil, work)
        threading.Thread(target=run, name="lmdbstore.aio.apart", daemon=True).start()
        return outcome

    def _submit(self, name: str, work: Callable[[], T]) -> Outcome[T]:
        outcome = Outcome[T]()
        if self._closed:
            outcome.fulfil(work)
            return outcome
        if self._pid != os.getpid():
            self._begin()
        pool: ThreadPoolExecutor = getattr(self, name)
        try:
            pool.submit(outcome.fulfil, work)
        except RuntimeError:  # it was closed in the meantime, or the program ends: it takes no more
            outcome.fulfil(work)
        return outcome

    def close(self) -> None:
        """End the threads when they have done what was given; later calls run in their caller.

        The store is closed then, so that they raise StoreClosed at once.
        """
        self._closed = True
        if self._pid == os.getpid():
            self._pool.shutdown(wait=False)
            self._one.shutdown(wait=False)
