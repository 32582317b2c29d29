"""Compacting in place: free pages are removed from a store's file, and the disk gets their space.

Rules: no other process has the store open, and none can open it before the end. Writers of this
process wait for the whole time, readers only while the files are exchanged. At every moment the
data file is the complete old one or the complete new one.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk.files import Directory, check_space, in_temporary_folder, remove_temporary
from lmdbstore.disk.folder import DATA_FILE
from lmdbstore.disk.lmdb_errors import advice
from lmdbstore.engine.registry import renamed
from lmdbstore.errors import EventWriteException, StoreClosed, WriteBusy, shown
from lmdbstore.processes.waits import FIRST_WAIT, THREAD, busy
from lmdbstore.threads.forking import process_lock
from lmdbstore.threads.run_locked import run_within

from .copy import COPY, copy_verified, needed

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.check.walk import Progress
    from lmdbstore.engine.environment import Environment
    from lmdbstore.engine.session import Session
    from lmdbstore.threads.deadline import Deadline

__all__ = ["Compacted", "compact_in_place"]

MOMENT = 0.05  # seconds; how long other threads are kept from forking while this waits


class Compacted(NamedTuple):
    """The size of the data file in bytes."""

    before: int
    after: int


def compact_in_place(session: Session, progress: Progress | None) -> Compacted:
    """Replace the data file by a compacted copy; see `LMDBEventStore.compact`."""
    session.check_writable()
    environment = session.current()
    environment.check_outside("a compaction", EventWriteException)
    session.after_writes()
    session.place.check()
    total = needed(session)
    try:
        return _compacted(session, environment, total, progress)
    except OSError as error:
        raise EventWriteException(
            f"the store {shown(session.path)} could not be compacted: {error}"
            f"{advice(error, session.path)}"
        ) from error


def _compacted(
    session: Session, environment: Environment, total: int, progress: Progress | None
) -> Compacted:
    sizes: list[Compacted] = []

    deadline, folder = session.deadline(), environment.folder

    def work() -> None:
        try:
            environment.barrier.lock(deadline.moment(MOMENT))
            with environment.presence.alone():
                sizes.append(_exchange(session, environment, total, progress))
        finally:
            environment.barrier.unlock()  # also if an interrupt struck as it was locked

    def refusal() -> WriteBusy:
        return busy(
            WriteBusy,
            folder,
            deadline,
            work="the opening or the write",
            outcome="nothing was compacted",
            locks=(folder.data, folder.barrier),
            unknown=THREAD,
        )

    while not sizes:
        # While it waits for others, this process can fork, and open and close other stores.
        try:
            run_within(process_lock(), deadline, refusal, _while_idle, environment, work, deadline)
        except WriteBusy:
            if not deadline.left:
                raise
            time.sleep(FIRST_WAIT)
    return sizes[0]


def _while_idle(environment: Environment, work: Callable[[], None], deadline: Deadline) -> None:
    if environment.gate.closed:  # closed while this waited for the lock
        raise StoreClosed("the store is closed; open it again")
    environment.check_none_held()
    try:
        environment.writer.while_idle(work, deadline.moment(MOMENT))
    finally:
        try:
            renamed(environment)
        except BaseException:  # Ctrl-C: otherwise its file would be opened a second time
            renamed(environment)
            raise


def _exchange(
    session: Session, environment: Environment, total: int, progress: Progress | None
) -> Compacted:
    folder, directory = environment.folder, environment.directory
    remove_temporary(directory)
    check_space(directory, total)

    def work(made: Directory) -> int:
        copy_verified(session, made, progress)
        before = os.stat(folder.data).st_size
        session.place.check("nothing was compacted")
        environment.replace_file(made, f"{COPY}/{DATA_FILE}")
        return before

    before = in_temporary_folder(directory, work)
    after = os.stat(folder.data).st_size
    session.place.check("the store that moved was compacted, and no other one")
    return Compacted(before, after)
