"""Threads that work beside a test: so many turns for each step that the test takes, and no more.

How much they do must not depend on how quick the disk is, or how long the test takes: what they
saved is looked at in the end.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["beside"]

LONG = 120  # seconds; ends a hang, decides nothing


@contextmanager
def beside(*works: Callable[[int], object], turns: int) -> Iterator[Callable[..., None]]:
    """Repeat each work in a thread of its own, with the number of its turn.

    What is given grants each of them `turns` more turns; it takes and ignores any arguments, so it
    can be told of a progress. In the end what a work raised is raised.
    """
    ended = False
    permits = [threading.Semaphore(0) for _ in works]

    def repeat(work: Callable[[int], object], permit: threading.Semaphore) -> None:
        for turn in itertools.count():
            permit.acquire()
            if ended:
                return
            work(turn)

    def go_on(*_: object) -> None:
        for permit in permits:
            permit.release(turns)

    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(repeat, *one) for one in zip(works, permits, strict=True)]
        try:
            yield go_on
        finally:
            ended = True
            for permit in permits:
                permit.release()
            for one in running:
                one.result(LONG)
