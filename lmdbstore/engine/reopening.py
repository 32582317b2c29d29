"""Opening the file of an open store again: for writing, or after it was replaced.

Rules: all threads are kept out, the lock of the barrier is held, and no snapshot of this process
reads the file. Searches continue in the new file. If the file cannot be opened at all, or this is
interrupted, the environment is closed.

An environment opens its file for reading only (`Environment.reads_only`) in two cases: all stores
that share it only read; or another process was writing when a store was opened that does not wait
for writers, and handles of databases in a file that is open for writing need a write transaction.
It opens the file again for writing before its first write.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

from lmdbstore.disk.databases import open_databases
from lmdbstore.disk.files import NotFlushedError, adopt_rights, exchange
from lmdbstore.errors import (
    EventWriteException,
    OpenBusy,
    StoreClosed,
    StoreOpenError,
    shown,
)
from lmdbstore.processes.barrier import Barrier
from lmdbstore.processes.opening_lock import opening_lock
from lmdbstore.processes.waits import FIRST_WAIT
from lmdbstore.threads.deadline import FOREVER, NOW, Deadline
from lmdbstore.threads.reentry import reentry

from .open_lmdb import open_lmdb

if TYPE_CHECKING:
    from collections.abc import Callable

    from .environment import Environment
    from .options import Options

__all__ = ["allow_writing", "become_writer", "replace_file"]


def allow_writing(environment: Environment, wanted: Options) -> None:
    """Let stores with these options write, where all stores so far only read.

    The next write opens the file for writing. `process_lock` is held, and the side files exist.

    Raises:
        StoreOpenError: the barrier cannot be opened for writing.
    """
    options = environment.options.with_writing(wanted)
    writing = Barrier(environment.folder, readonly=False)
    try:
        environment.barrier.take_over(writing)
        environment.options = options  # last: until then the next store repeats all of this
    finally:
        writing.abandon()


def become_writer(environment: Environment, deadline: Deadline = FOREVER) -> bool:
    """Open the file for writing; False if a snapshot of this process reads it.

    Raises:
        WriteBusy: others wrote to the store, or opened it, until the deadline.
        EventWriteException: it cannot be opened for writing.
        StoreClosed: the store was closed.
    """
    if environment.is_inside:
        raise reentry(EventWriteException, "a write")
    while environment.reads_only and not environment.holds_transactions():
        environment.writer.while_idle(partial(_try_it, environment, deadline), deadline)
        if environment.reads_only:
            if not deadline.left:
                raise environment.barrier.write_busy(deadline, "nothing was written")
            time.sleep(FIRST_WAIT)
    return not environment.reads_only


def _try_it(environment: Environment, deadline: Deadline) -> None:
    """Try it once: not if a process opens the store, or a snapshot was taken in between.

    A process that opens the store may wait for the barrier's lock with the opening lock held. So
    this waits for the former only. The latter is taken while the gate is barred: no thread can fork
    then, and leave the lock to a child.
    """
    if environment.gate.closed:
        raise StoreClosed("the store is closed; open it again")
    try:
        environment.barrier.lock(deadline)
        environment.gate.keep_out(partial(_open_to_write, environment))
    finally:
        environment.barrier.unlock()


def _open_to_write(environment: Environment) -> None:
    if not environment.reads_only or environment.holds_transactions():
        return
    try:
        with contextlib.suppress(OpenBusy), opening_lock(environment.folder, NOW):
            _or_close(environment, partial(_open_or_stay, environment))
    except StoreOpenError as error:
        closed = ", and the store was closed" if environment.gate.closed else ""
        raise EventWriteException(f"nothing was written{closed}: {error}") from error


def _open_or_stay(environment: Environment) -> StoreOpenError | None:
    """Open the file for writing, or else for reading again; return why the former failed."""
    environment.lmdb.close()
    try:
        _open(environment, readonly=False)
    except StoreOpenError as error:
        environment.lmdb.close()
        _open(environment, readonly=True)
        return error
    return None


def _or_close(environment: Environment, work: Callable[[], Exception | None]) -> None:
    """Run `work`, and raise what it returns; if it raises, the environment is closed."""
    try:
        refusal = work()
    except BaseException:
        environment.gate.close()
        raise
    if refusal is not None:
        raise refusal


def _open(environment: Environment, *, readonly: bool) -> None:
    options = environment.options._replace(readonly=readonly)
    environment.lmdb = open_lmdb(environment.folder, options, locked=True)
    environment.databases = open_databases(
        environment.lmdb, environment.folder.path, readonly=readonly
    )
    environment.writer.use(environment.lmdb, environment.databases)
    environment.reads_only = readonly


def replace_file(environment: Environment, new: str) -> None:
    """Replace the data file with the file `new` and open it; the process is alone in the folder.

    Raises:
        OSError: the file was not replaced, and the old one is open again.
        EventWriteException, StoreOpenError: it failed, and the environment is closed.
    """
    adopt_rights(new, environment.folder.data)
    environment.gate.keep_out(partial(_replace, environment, new))


def _replace(environment: Environment, new: str) -> None:
    environment.check_none_held()
    _or_close(environment, partial(_exchange, environment, new))


def _exchange(environment: Environment, new: str) -> OSError | None:
    """Close, rename and open; return the error if the system refused the renaming."""
    refusal = None
    environment.lmdb.close()
    try:
        exchange(new, environment.folder.data)
    except NotFlushedError as error:
        # Events saved from now on would be lost with the new file.
        raise EventWriteException(
            f"the store {shown(environment.folder.path)} has its new file, but its folder could "
            f"not be flushed ({error}), and a power cut may bring the old file back; the store was "
            "closed: check the disk, and open it again"
        ) from error
    except OSError as error:
        refusal = error
    _open(environment, readonly=False)
    return refusal
