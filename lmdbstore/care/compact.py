"""Compacting in place: the free pages of a store's file go, and the disk gets their space back.

Rules: nobody else has the store open, and nobody can open it meanwhile; writers of this process
wait for the whole time, readers only while the files are exchanged. At every moment the data file
is the old one or the new one, whole.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from lmdbstore.disk.lmdb_errors import advice
from lmdbstore.disk.space import check_space
from lmdbstore.engine.create import DATA_FILE, sweep
from lmdbstore.engine.registry import registry_lock, renamed
from lmdbstore.errors import EventWriteException, StoreClosed, shown

from .copy import Copying, copy_verified, making

__all__ = ["Compacted", "compact_in_place"]


class Compacted(NamedTuple):
    """The size of the data file in bytes."""

    before: int
    after: int


def compact_in_place(copying: Copying) -> Compacted:
    """Replace the data file by a compacted copy; see `LMDBEventStore.compact`."""
    environment = copying.environment
    sizes: list[int] = []

    def work() -> None:
        try:
            environment.barrier.lock()
            with environment.presence.alone():
                sizes.extend(_exchange(copying))
        finally:
            environment.barrier.unlock()  # also where an interrupt struck as it was locked

    try:
        with registry_lock():
            if environment.gate.closed:  # while this waited for the lock, which closing takes too
                raise StoreClosed("the store is closed; open it again")
            environment.check_no_snapshot()
            try:
                environment.writer.hold_up(work)
            finally:
                try:
                    renamed(environment)
                except BaseException:  # Ctrl-C: its file would be opened a second time
                    renamed(environment)
                    raise
    except OSError as error:
        raise EventWriteException(
            f"the store {shown(environment.path)} could not be compacted: {error}{advice(error)}"
        ) from error
    return Compacted(*sizes)


def _exchange(copying: Copying) -> tuple[int, int]:
    environment = copying.environment
    old = os.path.join(environment.path, DATA_FILE)
    sweep(environment.path)
    check_space(environment.path, copying.total)
    with making(environment.path) as made:
        copy_verified(copying, made, compact=True)
        before = os.stat(old).st_size
        environment.replace_file(os.path.join(made, DATA_FILE))
    return before, os.stat(old).st_size
