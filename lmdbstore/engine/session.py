"""A session: one store object's use of the environment, from opening to closing, across forks.

Rules: it holds no LMDB state except the environment of this process, which it opens again after a
fork. Every call checks that the session is open; the first read of a call waits at the barrier,
if reads are strict and the write in progress may change its result.
Work on a whole store (checking, copying, purging) uses a session: `read`, `write`, `hold`.
"""

from __future__ import annotations

import os
from os import getpid
from time import monotonic
from typing import TYPE_CHECKING, TypeVar
from weakref import ref

from lmdbstore.contract.closing import Closable
from lmdbstore.contract.query import checked_timeout
from lmdbstore.disk.folder import FILE_MODE
from lmdbstore.errors import ReadOnlyStore, StoreClosed
from lmdbstore.opening.place import Place, check_folder
from lmdbstore.threads.deadline import FOREVER, NOW, Deadline

from .open import Wait, open_environment
from .registry import release

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdb import Transaction

    from lmdbstore.contract.query import Query
    from lmdbstore.disk.databases import Databases
    from lmdbstore.opening.options import Options
    from lmdbstore.write.change import Change

    from .environment import Environment
    from .held_transaction import HeldTransaction

__all__ = ["Session"]

T = TypeVar("T")


class Session(Closable):
    """One user of the environment on a folder."""

    def __init__(  # noqa: PLR0913  as the store's
        self,
        path: str,
        options: Options,
        *,
        create: bool = False,
        strict: bool = False,
        timeout: float | None = None,
        mode: int = FILE_MODE,
        named: str | None = None,
    ) -> None:
        """Open the store in `path`; raises the same as `open_environment`, and StoreMoved.

        `strict`: reads wait for the write that is under way, and so does this. `timeout` is in
        seconds, and bounds the waiting of each call and of this. `named` is the path before links
        were followed: it must keep leading to the store.
        """
        self.path = path
        self.options = options
        self.create = create
        self.strict = strict
        self.timeout = timeout
        self.mode = mode
        self._closed = False
        # Changed and listed in built-in calls, so that it needs no lock.
        self._held: set[ref[HeldTransaction]] = set()
        self._named = named or path
        wait = Wait(strict, self.deadline())
        self._environment = open_environment(path, options, self, wait, create=create, mode=mode)
        self.place = self._placed(self._environment)

    @property
    def seed(self) -> int:
        """The seed of the store's id keys."""
        return self._environment.databases.seed

    def arguments(self) -> dict[str, object]:
        """Return the arguments of a store that has a session like this one."""
        return {
            **self.options._asdict(),
            "path": self.path,
            "create": self.create,
            "consistency": "strict" if self.strict else "snapshot",
            "mode": self.mode,
            "timeout": self.timeout,
        }

    def deadline(self, timeout: object = ...) -> Deadline:
        """Return the deadline of a call that begins now; raises InvalidQuery.

        `timeout` is in seconds, or None for no limit; `...` is that of the session.
        """
        limit = self.timeout if timeout is ... else checked_timeout(timeout)
        return FOREVER if limit is None else Deadline(limit)

    def _placed(self, environment: Environment) -> Place:
        """Return the place of a new environment, which this session releases if that was left."""
        try:
            place = Place(self._named, environment.known)
            place.check_opened()
        except BaseException:
            release(environment, self)
            raise
        return place

    # -- reading ----------------------------------------------------------------------------------

    def begin(
        self,
        work: Callable[[Transaction[bytes], Databases], T],
        deadline: Deadline | None = None,
        concern: str | Query | None = None,
        /,
    ) -> T:
        """Run the first read of a call, as in `Begins`.

        If reads are strict, it waits for the write under way, if that may change the result.
        """
        environment = self._environment
        # A short path, since this runs once a read: almost always there is nothing to wait for.
        try:
            wait = (
                self._closed
                or environment.pid != getpid()
                or monotonic() >= self.place.deadline
                or (self.strict and environment.barrier.byte[0] & 1)
            )
        except ValueError:  # the map of the barrier was closed
            wait = True
        if wait:
            return self._begin_beside(work, deadline, concern)
        return environment.read(work, views=True)

    def _begin_beside(
        self,
        work: Callable[[Transaction[bytes], Databases], T],
        deadline: Deadline | None,
        concern: str | Query | None,
    ) -> T:
        """Do the same beside a write; why this is right is in `processes.write_set`."""
        environment = self.current(deadline)
        writes = environment.barrier.in_progress() if self.strict else None
        if writes is None:
            return environment.read(work, views=True)
        if isinstance(concern, str):
            if not writes.may_remove(concern):
                found = environment.read(work, views=True)
                if found is not None or not writes.may_add(concern):
                    return found
        elif concern is not None and not writes.may_change(concern):
            return environment.read(work, views=True)
        return self.after_writes(deadline).read(work, views=True)

    def read(
        self, work: Callable[[Transaction[bytes], Databases], T], /, *, views: bool = False
    ) -> T:
        """Run a read of a call that has begun; see `Environment.read`."""
        return self.current().read(work, views=views)

    def hold(self, deadline: Deadline | None = None) -> HeldTransaction:
        """Return a read transaction on the present state; it stays open."""
        deadline = deadline or self.deadline()
        held = self.after_writes(deadline).hold(self.place, deadline if self.strict else NOW)
        self._held.add(ref(held, self._held.discard))
        if self._closed:  # by another thread, which may have listed what is held before
            held.close()
            self._check_open()
        return held

    def after_writes(self, deadline: Deadline | None = None) -> Environment:
        """Return the environment; if reads are strict, after the write under way.

        Raises:
            ReadBusy: it is still under way at the deadline.
        """
        deadline = deadline or self.deadline()
        environment = self.current(deadline)
        if self.strict and environment.barrier.up and not environment.writer.writing_here:
            environment.barrier.wait(environment.settle, deadline)
        return environment

    # -- writing ----------------------------------------------------------------------------------

    def write(self, change: Change, deadline: Deadline | None = None) -> None:
        """Carry out a change; see `Writer.write`."""
        if self._closed or self.options.readonly:
            self.check_writable()
        if deadline is None:
            deadline = FOREVER if self.timeout is None else self.deadline()
        self.current(deadline).write(change, self.place, deadline)

    def write_freeing(self, change: Change, deadline: Deadline | None = None) -> None:
        """Carry out a change that frees space, in a store that may be full."""
        self.check_writable()
        deadline = deadline or self.deadline()
        self.current(deadline).write_freeing(change, self.place, deadline)

    def flush(self) -> None:
        """Flush all writes to disk; see `Environment.flush`."""
        self.after_writes().flush()
        self.place.check("the writes were flushed in the store that moved")

    def check_writable(self) -> None:
        """Raise StoreClosed or ReadOnlyStore."""
        self._check_open()
        if self.options.readonly:
            raise ReadOnlyStore(
                f"the store {self.path!r} was opened with readonly=True; open it without"
            )

    # -- opening and closing ----------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"the store {self.path!r} is closed; open it again")

    def current(self, deadline: Deadline | None = None) -> Environment:
        """Return the environment of this process, opened again after a fork.

        At least once a second it is checked to be the one to which the path leads.

        Raises:
            StoreClosed: the session was closed.
            StoreMoved: the path leads elsewhere.
        """
        if self._closed:
            self._check_open()
        environment = self._environment
        if environment.pid != getpid():
            environment = self._reopened(deadline or self.deadline())
        if monotonic() >= self.place.deadline:
            self.place.check()
        return environment

    def _reopened(self, deadline: Deadline) -> Environment:
        """Open the store in a forked child; threads that do it at once get the same environment.

        If a process writes, the call that needs that waits for it, and not this.
        """
        inherited = self._environment
        check_folder(self.path, inherited.known.files.folder)
        wait = Wait(False, deadline)
        opened = open_environment(self.path, self.options, self, wait, create=False)
        place = self._placed(opened)
        try:
            place.check_same(inherited.known)
        except BaseException:
            release(opened, self)
            raise
        self._environment, self.place = opened, place
        if self._closed:  # by another thread, which may have seen the parent's environment
            release(opened, self)
            self._check_open()
        return opened

    def end(self) -> None:
        """Let every later call raise StoreClosed, and so what this session holds."""
        self._closed = True
        for held in self._all_held():
            held.end()

    def _all_held(self) -> list[HeldTransaction] | tuple[()]:
        if not self._held:  # almost always
            return ()
        return [held for found in list(self._held) if (held := found()) is not None]

    def close(self, deadline: Deadline = FOREVER) -> None:
        """Release the environment; its last user closes it. A second call does nothing.

        Raises:
            StoreBusy: another thread was at work until the deadline; call it again.
        """
        if not self._closed:
            self.end()
        for held in self._all_held():
            held.close()
        if self._environment.pid == os.getpid():
            release(self._environment, self, deadline)
