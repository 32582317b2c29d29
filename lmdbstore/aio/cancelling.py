"""Waiting for a thread's work in an event loop, and what a cancelled call says.

Rules: the work is an `Outcome`. Its `cancel` succeeds only while no thread has begun, so it decides
exactly whether a cancelled call happened. asyncio raises CancelledError once for each cancellation,
so a call that must wait on catches it, and raises the same object when the work is done: then
`asyncio.timeout`, task groups and anyio know it again. trio asks whether a wait may be
given up, and asks again at the next checkpoint.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from lmdbstore.errors import (
    DuplicateEvent,
    EventNotFound,
    InvalidEvent,
    InvalidQuery,
    ReadOnlyStore,
    StoreClosed,
    StoreFull,
    StoreMoved,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .outcome import Outcome

__all__ = ["Work", "happened", "result_of", "soon"]

T = TypeVar("T")

# Exceptions after which it is certain that nothing was written.
NOTHING_WRITTEN = (
    DuplicateEvent,
    EventNotFound,
    InvalidEvent,
    InvalidQuery,
    ReadOnlyStore,
    StoreClosed,
    StoreFull,
)
HAPPENED = "happened"  # the attribute of an exception
NOTES = {
    True: "the call was carried out before it was cancelled",
    False: "the call was cancelled before it was carried out: nothing was written",
    None: "the call failed while it was cancelled; its exception, the cause of this one, says more",
}


class Work(Enum):
    """What a cancelled call does with its work."""

    READ = 1
    """Give it up: it changes nothing."""
    SHARED = 2
    """Give it up, and leave it to others that wait for it."""
    CHANGE = 3
    """Withdraw it, or if a thread has begun with it, wait for its end."""
    MUST = 4
    """Wait for its end: it may not be left out."""


GIVEN_UP = frozenset({Work.READ, Work.SHARED})


def happened(error: BaseException) -> bool | None:
    """Return whether the call that was cancelled was carried out; None: it is not known.

    `error` is the CancelledError that the call raised, or an exception raised from it, such as the
    TimeoutError of `asyncio.timeout`. None also stands for an exception of something else.
    """
    found: BaseException | None = error
    while found is not None:
        if HAPPENED in vars(found):
            known: bool | None = vars(found)[HAPPENED]
            return known
        found = found.__cause__
    return None


def _say(error: BaseException, known: bool | None) -> None:
    setattr(error, HAPPENED, known)
    error.add_note(f"lmdbstore.aio: {NOTES[known]}")


async def result_of(future: Outcome[T], work: Work) -> T:
    """Wait for the work, without blocking the event loop; return its result, or raise its error."""
    if (trio := _trio()) is not None:
        await _trio_done(trio, future, work)
    else:
        await _asyncio_done(future, work)
    return future.result()


def soon(work: Callable[[], object]) -> None:
    """Call `work` in the event loop, when the tasks that are ready have had their turn."""
    if (trio := _trio()) is not None:
        trio.lowlevel.current_trio_token().run_sync_soon(work)
    else:
        asyncio.get_running_loop().call_soon(work)


def _trio() -> Any:
    """Return the module if a task of trio is running."""
    trio: Any = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_task()
    except (RuntimeError, AttributeError):  # the second one: it is being imported
        return None
    return trio


# -- asyncio --------------------------------------------------------------------------------------


async def _asyncio_done(future: Outcome[Any], work: Work) -> None:
    try:
        await _wait(future)
    except asyncio.CancelledError as error:
        withdrawn = work in {Work.READ, Work.CHANGE} and future.cancel()
        if work in GIVEN_UP:
            raise
        if withdrawn:
            _say(error, known=False)
            raise
        await _wait_on(future)
        failure = future.exception()
        _say(error, known=_known(failure))
        raise error from failure


async def _wait(future: Outcome[Any]) -> None:
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def done() -> None:
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(wake)

    try:
        future.join(done)
        await waiter
    finally:
        future.leave(done)


async def _wait_on(future: Outcome[Any]) -> None:
    """Wait for the end, whatever else is cancelled."""
    with _shield():
        while not future.done():
            with suppress(asyncio.CancelledError):  # the one that is raised later is the first
                await _wait(future)


def _shield() -> AbstractContextManager[object]:
    """Keep a scope of anyio from cancelling the task again in each round of the loop."""
    scope = getattr(sys.modules.get("anyio"), "CancelScope", None)
    return nullcontext() if scope is None else scope(shield=True)


def _known(failure: BaseException | None) -> bool | None:
    if failure is None:
        return True
    if isinstance(failure, StoreMoved):
        return failure.committed
    return False if isinstance(failure, NOTHING_WRITTEN) else None


# -- trio -----------------------------------------------------------------------------------------


async def _trio_done(trio: Any, future: Outcome[Any], work: Work) -> None:
    lowlevel = trio.lowlevel
    task, token = lowlevel.current_task(), lowlevel.current_trio_token()
    waiting = [True]

    def wake() -> None:
        if waiting:
            waiting.clear()
            lowlevel.reschedule(task)

    def done() -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(wake)

    def abort(_: object) -> Any:
        withdrawn = work in {Work.READ, Work.CHANGE} and future.cancel()
        if work in GIVEN_UP or withdrawn:
            waiting.clear()
            return lowlevel.Abort.SUCCEEDED
        return lowlevel.Abort.FAILED

    try:
        future.join(done)
        await lowlevel.wait_task_rescheduled(abort)
    except trio.Cancelled as error:
        if work not in GIVEN_UP:
            _say(error, known=False)
        raise
    finally:
        future.leave(done)
